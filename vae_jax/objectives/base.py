"""An objective: a pair of functions, and what it requires of a model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from vae_jax.types import Array, Examples, Hparams, Key, Metrics, Params

Loss = Callable[[Any, Examples, Hparams], tuple[Array, Metrics]]
"""A plain objective: (output, x, hparams) -> (loss, metrics)."""


class Objective(NamedTuple):
    """A loss, with parameters of its own where it has a network, such as a critic.

    An objective without one can be called like the plain function it was made of:
    `objective(output, x, hparams)`.
    """

    init: Callable[[Key, Any], Params]
    """(key, output) -> the objective's own parameters, {} if it has none."""

    apply: Callable[[Params, Any, Examples, Hparams, Key], tuple[Array, Metrics]]
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

    needs_extras: tuple[str, ...] = ()
    """Keys of `VAEOutput.extras` that it reads; a model gives those that its class
    attribute `gives_extras` names."""
    needs_posterior: type = object
    """The class of distributions that q(z | x) must be of."""

    min_batch_size: int = 1
    """The fewest examples of a batch: more than one where it compares them."""

    optimizer: optax.GradientTransformation | None = None
    """The optimiser of the objective's own parameters, learning rate included; None:
    the trainer's optimiser changes them together with those of the model."""

    def __call__(
        self, output: Any, x: Examples, hparams: Hparams
    ) -> tuple[Array, Metrics]:
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


def no_params(key: Key, output: Any) -> Params:
    """The `init` of an objective without parameters of its own."""
    del key, output
    return {}


def objective(loss: Loss, **facts: Any) -> Objective:
    """An objective made of a plain function.

    Args:
        loss: (output, x, hparams) -> (loss, metrics).
        **facts: what `Objective` declares beside its two functions, such as
            `needs_density=True`.

    Returns:
        The objective, without parameters of its own.
    """

    def apply(
        params: Params, output: Any, x: Examples, hparams: Hparams, key: Key
    ) -> tuple[Array, Metrics]:
        del params, key
        return loss(output, x, hparams)

    return Objective(no_params, apply, **facts)


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


def as_objective(thing: Objective | Loss) -> Objective:
    """An `Objective`, of a plain function one that declares nothing."""
    return thing if isinstance(thing, Objective) else objective(thing)
