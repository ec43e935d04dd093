"""A model with its parameters: the one object that everything after training takes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax import struct

from vae_jax.data.examples import image_of
from vae_jax.distributions.base import Distribution, Posterior
from vae_jax.distributions.fitted import FittedPrior, FittedRows
from vae_jax.distributions.tabular import Product
from vae_jax.models.base import JointPrior, LayeredPrior, as_codes
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.training.advice import advised
from vae_jax.training.functions import model_functions
from vae_jax.training.state import Variables
from vae_jax.types import (
    Array,
    Codes,
    Examples,
    Given,
    Key,
    ModelState,
    Params,
    PyTree,
)


@struct.dataclass
class Trained:
    """A pytree of parameters together with its model.

    It goes through `jit` and `vmap`: the model is static, so that one compilation of
    `jax.jit(lambda trained, x: ...)` serves the parameters of many steps and of all
    members of a grid. All methods are pure and not jitted. Where codes are expected,
    one array stands for a tuple of one.

    With a prior that was `fitted` to the codes afterwards, that prior takes the place
    of the model's own in every method, and so in whatever is measured or drawn.
    """

    model: nn.Module = struct.field(pytree_node=False)  # see `models.base.Model`
    params: Params
    model_state: ModelState = struct.field(default_factory=dict)
    fitted: FittedPrior | None = None  # for one latent layer

    @classmethod
    def of(cls, model: nn.Module, variables: Params | Variables) -> "Trained":
        """A model with `eval_variables` of a `TrainState`: with its state, if any."""
        if isinstance(variables, Variables):
            return cls(model, variables.params, variables.model_state)
        return cls(model, variables)

    def __call__(self, x: Examples, key: Key) -> VAEOutput:
        """p(x | z) and the latent layers for one draw per example, as in evaluation.

        Args:
            x: a batch as the model takes it.
            key: random key for the draws.

        Returns:
            What the model returns.
        """
        variables = Variables(self.params, self.model_state)
        output = model_functions(self.model).apply(variables, x, key)
        if self.fitted is None:
            return output
        return dataclasses.replace(output, latents=self._with_fitted(output.latents))

    @property
    def conditions_on(self) -> str | None:
        """The part of x that a conditional model is given; None for all others."""
        return getattr(self.model, "conditions_on", None)

    @property
    def can_be_given(self) -> str | None:
        """The part of x that draws can be asked to be of; None if there is none.

        What a conditional model is always given, and another one with a class among its
        latent variables can be.
        """
        return self.conditions_on or getattr(self.model, "can_be_given", None)

    def given(self, x: Examples) -> Given:
        """What of x the model conditions on; None for an unconditional one.

        Args:
            x: a batch as the model takes it.
        """
        return None if self.conditions_on is None else x[self.conditions_on]

    def encode(self, x: Examples, key: Key) -> tuple[Latent, ...]:
        """The latent layers for x, the one next to the data first.

        Args:
            x: a batch as the model takes it.
            key: random key for the draws.

        Returns:
            One `Latent` per layer: z, q(z | x) and p(z).
        """
        return self._with_fitted(self._call("encode", x, key))

    def classify(self, x: Examples) -> Array:
        """log q(y | x) of each class, nats, [B, C], of a model that has a classifier.

        Args:
            x: a batch as the model takes it.
        """
        return self._call("classify", x)

    def decode(self, codes: Codes | Array, given: Given = None) -> Distribution:
        """p(x | z).

        Args:
            codes: z of each layer, [B, ...].
            given: what a conditional model conditions on, see also `can_be_given`.

        Returns:
            The likelihood, fields [B, ...].
        """
        return self._call("decode", as_codes(codes), given)

    def prior(self, num: int, given: Given = None) -> JointPrior:
        """p(z1, ..., zL) for `num` rows.

        Args:
            num: number of rows.
            given: what a conditional model conditions on, see also `can_be_given`.

        Returns:
            A distribution with `sample(key, temperature, above)` and
            `log_prob(codes)`, see `JointPrior`.
        """
        if self.fitted is not None:
            return LayeredPrior(FittedRows(self.fitted, num))
        prior = self._call("joint_prior", num, given)
        return TrainedPrior(self, num, given) if prior.calls_model else prior

    def sample(
        self, key: Key, num: int, given: Given = None, temperature: float = 1.0
    ) -> Distribution:
        """Decodes draws from the prior.

        Args:
            key: random key for the draws.
            num: number of rows.
            given: what a conditional model conditions on, see also `can_be_given`.
            temperature: multiplies the prior's standard deviations.

        Returns:
            p(x | z) with fields [num, ...].
        """
        return self.decode(self.prior(num, given).sample(key, temperature), given)

    def _with_fitted(self, latents: tuple[Latent, ...]) -> tuple[Latent, ...]:
        """The latent layer with the prior that was fitted to it, if one was."""
        if self.fitted is None:
            return latents
        (latent,) = latents
        prior = FittedRows(self.fitted, latent.z.shape[0])
        return (dataclasses.replace(latent, prior=prior),)

    def _call(self, method: str | Callable, *arguments: PyTree) -> Any:
        variables = {"params": self.params, **self.model_state}
        with advised(train=False):
            return self.model.apply(variables, *arguments, method=method)


@struct.dataclass
class TrainedPrior:
    """p(z1, ..., zL) of a trained model whose layers depend on one another."""

    trained: Trained
    num: int = struct.field(pytree_node=False)
    given: Given = None
    calls_model: bool = struct.field(pytree_node=False, default=False)

    def sample(
        self, key: Key, temperature: float = 1.0, above: Codes | Array = ()
    ) -> Codes:
        """One draw per row, z1 first; see `JointPrior`."""

        def draw(model: Any, key: Key, above: Codes) -> Codes:
            prior = model.joint_prior(self.num, self.given)
            return prior.sample(key, temperature, above)

        return self.trained._call(draw, key, as_codes(above))

    def log_prob(self, codes: Codes | Array) -> Array:
        """Sum over the layers, nats, [num]."""

        def log_prob(model: Any, codes: Codes) -> Array:
            return model.joint_prior(self.num, self.given).log_prob(codes)

        return self.trained._call(log_prob, as_codes(codes))


def image_likelihood(likelihood: Distribution) -> Distribution:
    """p(image | z), of a model of images alone and of one whose x is a dict.

    Args:
        likelihood: p(x | z), fields [B, ...].

    Returns:
        The likelihood itself, or the part "image" of a `tabular.Product`.
    """
    return image_of(likelihood.parts) if isinstance(likelihood, Product) else likelihood


# Jitted once for all: a trained model of the same form does not compile again.
decode = jax.jit(Trained.decode)


@jax.jit
def first_posterior(trained: Trained, x: Examples) -> Posterior:
    """q(z1 | x) of the layer next to the data.

    Where that layer looks at draws of those above, as in a ladder, they are the same at
    each call.

    Args:
        trained: a model with its parameters.
        x: a batch as the model takes it.
    """
    return trained.encode(x, jax.random.key(0))[0].posterior
