"""Pure functions of (VAEOutput, x, hparams) that give a loss and metrics.

`BY_NAME` holds the objectives that a config can name; one of your own adds a line to
it.
"""

from collections.abc import Callable
from typing import Any

from vae_jax.objectives import bounds, elbo
from vae_jax.objectives.base import Loss, Objective, objective


def _of_weights(loss: Loss, **facts: Any) -> Objective:
    return objective(loss, needs_density=True, hparams=("kl_weight",), **facts)


BY_NAME: dict[str, Callable[..., Objective]] = {
    "elbo": lambda: objective(elbo.elbo, hparams=("kl_weight", "free_nats")),
    "capacity": lambda: objective(
        elbo.capacity, hparams=("kl_weight", "capacity"), scheduled="capacity"
    ),
    "elbo_mc": lambda: _of_weights(bounds.elbo_mc),
    "stl": lambda: _of_weights(bounds.stl),
    "iwae": lambda: _of_weights(bounds.iwae),
    "dreg": lambda: _of_weights(bounds.dreg, splits_encoder=True, one_layer=True),
    "miwae": lambda num_groups=1: _of_weights(bounds.miwae(num_groups)),
    "piwae": lambda num_groups=1: _of_weights(
        bounds.piwae(num_groups), splits_encoder=True
    ),
    "ciwae": lambda elbo_share=0.5: _of_weights(bounds.ciwae(elbo_share)),
    "renyi": lambda alpha=0.5: _of_weights(bounds.renyi(alpha)),
}
"""Constructors of the objectives by the names that a config calls them."""
