"""How a traced number, such as the KL weight, changes over training.

A shape is a function `(step, warmup_steps) -> factor` in [0, 1] of the two traced
numbers; `scale("kl_weight", linear)` makes of it a `Schedule`, which multiplies that
hyperparameter at each step. Steps, not epochs: a warm-up counted in epochs may never
end on a big data set and leave a model that is secretly trained with a smaller weight.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.types import Array, Hparams

Shape = Callable[[Array, Array], Array]
Schedule = Callable[[Array, Hparams], Hparams]


def constant(step: Array, warmup_steps: Array) -> Array:
    """1 at every step."""
    return jnp.ones(())


def linear(step: Array, warmup_steps: Array) -> Array:
    """From 0 to 1 in a straight line over `warmup_steps`, then 1; 1 if that is 0.

    Source: Sønderby et al. 2016, arXiv:1602.02282, section 2.3.
    """
    return jnp.where(
        warmup_steps > 0, _progress(step, warmup_steps).clip(0.0, 1.0), 1.0
    )


def sigmoid(step: Array, warmup_steps: Array) -> Array:
    """1 / (1 + exp(-10 (step / warmup_steps - 1/2))): .007 at 0, .993 at the end.

    Source: Bowman et al. 2016, arXiv:1511.06349, section 3.1, with that slope.
    """
    rise = jax.nn.sigmoid(10.0 * (_progress(step, warmup_steps) - 0.5))
    return jnp.where(warmup_steps > 0, rise, 1.0)


def cyclical(step: Array, warmup_steps: Array) -> Array:
    """Linear over `warmup_steps`, as long again at 1, then back to 0, over and over.

    Source: Fu et al. 2019, arXiv:1903.10145, equation 6, with R = 1/2 and a period of
    2 warmup_steps.
    """
    phase = jnp.mod(_progress(step, warmup_steps), 2.0)
    return jnp.where(warmup_steps > 0, phase.clip(0.0, 1.0), 1.0)


def scale(name: str, shape: Shape) -> Schedule:
    """A schedule that multiplies one hyperparameter by a shape.

    Args:
        name: the hyperparameter, e.g. "kl_weight" or "capacity".
        shape: one of the functions above; its length is `hparams["warmup_steps"]`.

    Returns:
        A function (step, hparams) -> hparams.
    """

    def schedule(step: Array, hparams: Hparams) -> Hparams:
        warmup_steps = hparams.get("warmup_steps", jnp.zeros(()))
        return hparams | {name: hparams[name] * shape(step, warmup_steps)}

    return schedule


def unchanged(step: Array, hparams: Hparams) -> Hparams:
    """The schedule that leaves every hyperparameter as it is."""
    return hparams


def _progress(step: Array, warmup_steps: Array) -> Array:
    return jnp.asarray(step, jnp.float32) / jnp.maximum(warmup_steps, 1.0)


BY_NAME: dict[str, Shape] = {
    "constant": constant,
    "linear": linear,
    "sigmoid": sigmoid,
    "cyclical": cyclical,
}
"""The shapes by the names that a config calls them."""
