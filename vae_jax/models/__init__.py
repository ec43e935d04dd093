"""Modules that return a VAEOutput.

`BY_NAME` holds the models that a config can name; one of your own adds a line to it.
"""

from collections.abc import Callable

import flax.linen as nn

from vae_jax.models.conditional import vae
from vae_jax.models.hierarchical import hierarchical_vae
from vae_jax.models.ladder import ladder_vae
from vae_jax.models.m2 import m2
from vae_jax.models.rae import RAE
from vae_jax.models.top_down import TopDownVAE

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "vae": vae,
    "hierarchical": hierarchical_vae,
    "ladder": ladder_vae,
    "rae": RAE,
    "top_down": TopDownVAE,
    "m2": m2,
}
"""The models by the names that a config calls them."""
