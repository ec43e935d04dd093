"""How much of its codebook a model with discrete codes uses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.quantized import code_perplexity
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers
from vae_jax.quantities import SHARE, Group, Quantity, one
from vae_jax.trained import Trained, first_posterior
from vae_jax.types import Key

CODEBOOK = Group(
    "The codebook",
    "Whether discrete codes are in use: a code that no image ever has is a code for"
    " nothing, and the uniform prior pays for it all the same.",
)

QUANTITIES = (
    Quantity(
        "Code usage",
        "Share of the codes that are used at least once, at any site of any held-out"
        " image.",
        one("code_usage"),
        CODEBOOK,
        SHARE,
        "near 1, where there are many more sites of images than codes",
        scale="share",
        best="largest",
        brief="code",
    ),
    Quantity(
        "Code perplexity",
        "exp of the entropy of how often each code is used, over all sites of all"
        " held-out images: so many codes, used alike, would have the same entropy.",
        one("code_perplexity"),
        CODEBOOK,
        "1 to the number of codes",
        "a good part of the number of codes",
        "codes",
        best="largest",
        brief="code",
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """Usage and perplexity over the whole held-out split."""
    split = data.heldout
    used = FirstLayer.of_split(trained, split).indices(split)
    one_x: Any = jax.eval_shape(first_posterior, trained, split.some(1).x())
    counts = np.bincount(used.reshape(-1), minlength=len(one_x.codebook))
    return {
        "code_usage": float((counts > 0).mean()),
        "code_perplexity": float(code_perplexity(jnp.asarray(counts))),
    }


def why_not(trained: Trained, data: Data) -> str | None:
    """It needs a posterior of discrete codes next to the data."""
    layer = FirstLayer.of_split(trained, data.heldout)
    if layer.is_quantized:
        return None
    return f"needs discrete codes, not those of {layer.posterior.__name__}"


MEASURE = Measure(run, QUANTITIES, why_not)
