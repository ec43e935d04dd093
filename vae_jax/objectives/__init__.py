"""Pure functions of (VAEOutput, x, hparams) that give a loss and metrics.

`BY_NAME` holds the objectives that a config can name; one of your own adds a line to
it.
"""

from collections.abc import Callable

from vae_jax.objectives import (
    bounds,
    elbo,
    factor,
    mmd,
    moments,
    quantized,
    regularized,
    semi_supervised,
    total_correlation,
)
from vae_jax.objectives.base import Objective, objective

BY_NAME: dict[str, Callable[..., Objective]] = {
    "elbo": lambda: objective(
        elbo.elbo_loss, hparams=("kl_weight", "free_nats", "free_nats_per_layer")
    ),
    "capacity": lambda: objective(
        elbo.capacity_loss, hparams=("kl_weight", "capacity"), scheduled="capacity"
    ),
    "elbo_mc": lambda: bounds.elbo_mc,
    "stl": lambda: bounds.stl,
    "iwae": lambda: bounds.iwae,
    "dreg": lambda: bounds.dreg,
    "miwae": bounds.miwae,
    "piwae": bounds.piwae,
    "ciwae": bounds.ciwae,
    "renyi": bounds.renyi,
    "beta_tc": lambda: total_correlation.beta_tc,
    "factor": factor.factor,
    "dip_i": moments.dip_i,
    "dip_ii": moments.dip_ii,
    "mmd": lambda: mmd.mmd,
    "regularized": lambda: regularized.regularized,
    "quantized": quantized.quantized,
    "semi_supervised": lambda: semi_supervised.semi_supervised,
}
"""Constructors of the objectives by the names that a config calls them."""
