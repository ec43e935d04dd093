"""An objective: a pair of functions, and what it requires of a model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from vae_jax.types import Array, Hparams, Key, Metrics, Params

Loss = Callable[[Any, Any, Hparams], tuple[Array, Metrics]]
"""A plain objective: (output, x, hparams) -> (loss, metrics)."""


class Objective(NamedTuple):
    """A loss, with parameters of its own where it has a network, such as a critic.

    An objective without one can be called like the plain function it was made of:
    `objective(output, x, hparams)`.
    """

    init: Callable[[Key, Any], Params]
    """(key, output) -> the objective's own parameters, {} if it has none."""

    apply: Callable[[Params, Any, Any, Hparams, Key], tuple[Array, Metrics]]
    """(params, output, x, hparams, key) -> (loss, metrics)."""

    needs_density: bool = False
    """Whether it weighs draws by the posterior's density; a point mass has none."""

    splits_encoder: bool = False
    """Whether it takes a `SplitOutput`: other gradients for the encoder than for the
    rest."""

    hparams: tuple[str, ...] | None = None
    """Names of the traced numbers that it reads; None if they are not declared."""

    scheduled: str = "kl_weight"
    """The traced number that a schedule of a config multiplies."""

    one_layer: bool = False
    """Whether it is right for models with one latent layer only."""

    needs_posterior: type = object
    """The class of distributions that q(z | x) must be of."""

    def __call__(self, output: Any, x: Any, hparams: Hparams) -> tuple[Array, Metrics]:
        """Loss and metrics of an objective that has no parameters and draws nothing.

        Args:
            output: what the model returned, with a leading sample axis K.
            x: the batch.
            hparams: traced numbers.

        Returns:
            The loss, a scalar, and metrics by name.
        """
        no_key: Any = None
        return self.apply({}, output, x, hparams, no_key)


def objective(
    loss: Loss,
    *,
    needs_density: bool = False,
    splits_encoder: bool = False,
    hparams: tuple[str, ...] | None = None,
    scheduled: str = "kl_weight",
    one_layer: bool = False,
    needs_posterior: type = object,
) -> Objective:
    """An objective made of a plain function.

    Args:
        loss: (output, x, hparams) -> (loss, metrics).
        needs_density: see `Objective`.
        splits_encoder: see `Objective`.
        hparams: see `Objective`.
        scheduled: see `Objective`.
        one_layer: see `Objective`.
        needs_posterior: see `Objective`.

    Returns:
        The objective, without parameters of its own.
    """

    def init(key: Key, output: Any) -> Params:
        del key, output
        return {}

    def apply(
        params: Params, output: Any, x: Any, hparams: Hparams, key: Key
    ) -> tuple[Array, Metrics]:
        del params, key
        return loss(output, x, hparams)

    facts = needs_density, splits_encoder, hparams, scheduled, one_layer
    return Objective(init, apply, *facts, needs_posterior)


def with_gradient_of(loss: Array, surrogate: Array) -> Array:
    """The value of `loss` with the gradients of both.

    A critic's loss, for example, is added so: it trains the critic, and the value that
    is reported stays that of the model's loss. What must not get the gradient is kept
    out of `surrogate` by `jax.lax.stop_gradient`.

    Args:
        loss: a scalar.
        surrogate: a scalar of which only the gradient is used.

    Returns:
        A scalar with the value of `loss` and the gradient of both.
    """
    return loss + surrogate - jax.lax.stop_gradient(surrogate)


def as_objective(thing: Any) -> Objective:
    """An `Objective`, of a plain function one that declares nothing."""
    return thing if isinstance(thing, Objective) else objective(thing)
