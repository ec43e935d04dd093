"""p(z) and p(x | z) of a model as two functions: all that needs no posterior."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.evaluation.hmc import Prior
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.types import Array, Key, Params


class Joint(NamedTuple):
    """The generative half of a model; pure functions of its parameters."""

    prior: Callable[[Params, int], Prior]  # (params, rows) -> p(z) of that many rows
    decode: Callable[[Params, Array], Distribution]  # (params, z [B, D]) -> p(x | z)


def joint_functions(model: Any) -> Joint:
    """The two functions of a Flax module with `prior` and `decode`.

    Of a `HierarchicalVAE`, z is the codes of all layers side by side, z1 first.

    Args:
        model: see models/.

    Returns:
        A Joint. Compiled functions take it as a static argument: make it once.
    """

    def call(params: Params, *args: Any, method: Any) -> Any:
        return model.apply({"params": params}, *args, method=method)

    if not isinstance(model, HierarchicalVAE):
        return Joint(
            prior=lambda params, rows: call(
                params, rows, method=lambda model, n: model.prior(n)
            ),
            decode=lambda params, z: call(params, z, method="decode"),
        )

    def prior(params: Params, rows: int) -> LayeredPrior:
        top = call(params, rows, method=lambda model, n: model.prior(n))
        return LayeredPrior(top, conditionals(params))

    def conditionals(params: Params) -> list[Callable[[Array], Distribution]]:
        def conditional(layer: int) -> Callable[[Array], Distribution]:
            return lambda z: call(params, z, method=lambda m, z: m.decoders[layer](z))

        return [conditional(layer) for layer in range(1, len(model.decoders))]

    def decode(params: Params, z: Array) -> Distribution:
        z1 = prior(params, z.shape[0]).layers(z)[0]
        return call(params, z1, method="decode")

    return Joint(prior, decode)


class LayeredPrior:
    """p(zL) ... p(z1 | z2) as one distribution of the codes side by side, z1 first."""

    def __init__(
        self, top: Distribution, below: Sequence[Callable[[Array], Distribution]]
    ) -> None:
        """Keeps them.

        Args:
            top: p(zL).
            below: z2 -> p(z1 | z2), z3 -> p(z2 | z3), ...
        """
        self._top, self._below = top, below
        codes = jax.eval_shape(self._sample, jax.random.key(0))
        self._dims = [code.shape[1] for code in codes]

    def _sample(self, key: Key) -> list[Array]:
        top_key, *keys = jax.random.split(key, len(self._below) + 1)
        codes = [self._top.sample(top_key)]
        for conditional, layer_key in zip(reversed(self._below), keys, strict=True):
            codes.insert(0, conditional(codes[0]).sample(layer_key))
        return codes

    def layers(self, z: Array) -> list[Array]:
        """The codes of each layer: [B, D1 + ... + DL] -> L arrays [B, D_l]."""
        ends = [sum(self._dims[: i + 1]) for i in range(len(self._dims) - 1)]
        return jnp.split(z, ends, axis=1)

    def sample(self, key: Key) -> Array:
        """One draw per row, from the top down, [B, D1 + ... + DL]."""
        return jnp.concatenate(self._sample(key), axis=1)

    def log_prob(self, x: Array) -> Array:
        """Sum over the layers, nats, [B]."""
        codes = self.layers(x)
        total = self._top.log_prob(codes[-1])
        for conditional, z, above in zip(
            self._below, codes[:-1], codes[1:], strict=True
        ):
            total = total + conditional(above).log_prob(z)
        return total
