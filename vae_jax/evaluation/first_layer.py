"""The latent layer next to the data, of a model with one layer or several.

What is written about codes as points of a space (continuity, the aggregated posterior)
is of this layer. Here its codes are rows [n, D], whatever their shape in the model. Of
a model that decodes the codes of all layers (`decodes_all_layers`), a row holds all of
them, side by side.
"""

import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.tree_util import Partial

from vae_jax.distributions import (
    Deterministic,
    DiagonalNormal,
    Distribution,
    Posterior,
    Quantized,
)
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.data import Split
from vae_jax.evaluation.joined import Shapes, join, shapes_of, split
from vae_jax.outputs import Latent, flat_moments
from vae_jax.trained import Trained
from vae_jax.types import Array, Key, stream

CODES_PER_CHUNK = 1000
MOST_JOINED = 2000  # examples whose joined codes are kept: they may be long


@struct.dataclass
class FirstLayer:
    """A trained model, seen from the data: x, what is decoded, and nothing above."""

    trained: Trained
    posterior: type[Posterior] = struct.field(pytree_node=False)  # of q(z1 | x)
    shapes: Shapes = struct.field(pytree_node=False)  # of the codes in a row
    supports: tuple[str, ...] = struct.field(pytree_node=False)  # likewise
    is_only: bool = struct.field(pytree_node=False)  # whether there is no other layer
    is_joined: bool = struct.field(pytree_node=False)  # whether a row has several

    @classmethod
    def of(cls, trained: Trained, x: Any) -> "FirstLayer":
        """The layer of a model for data like x, [B, ...]; computes nothing."""
        latents = jax.eval_shape(Trained.encode, trained, x, jax.random.key(0))
        decodes_all = getattr(trained.model, "decodes_all_layers", False)
        read = latents if decodes_all else latents[:1]
        return cls(
            trained,
            type(latents[0].posterior),
            shapes_of([latent.z for latent in read]),
            tuple(latent.posterior.support for latent in read),
            is_only=len(read) == len(latents),
            is_joined=len(read) > 1,
        )

    @property
    def is_normal(self) -> bool:
        """Whether q(z1 | x) is a diagonal normal, or a point: one without variance.

        Several layers together are neither.
        """
        is_normal = issubclass(self.posterior, DiagonalNormal | Deterministic)
        return is_normal and not self.is_joined

    @property
    def is_continuous(self) -> bool:
        """Whether there are codes between any two: not where one is discrete."""
        return Quantized.support not in self.supports

    @property
    def decode(self) -> Partial:
        """Rows [B, D] -> p(x | z), for other compiled functions."""
        return Partial(_decode, self)

    @property
    def moments(self) -> Partial:
        """x -> mean and variance of q(z1 | x), both [B, D].

        Of joined layers those of each one, given a draw of the layers above.
        """
        return Partial(_moments, self)

    @property
    def points(self) -> Partial:
        """x -> the codes that stand for it in a picture, [B, D].

        The mean of q(z1 | x); of joined layers a draw, the same at each call.
        """
        return Partial(_points, self)

    def prior(self, num: int) -> "FirstPrior":
        """p(z1) of `num` rows."""
        return FirstPrior(self, num)

    def codes(self, split: Split, key: Key) -> Codes:
        """What q(z1) of a split is made of, [N, D].

        Posterior means and standard deviations where q(z1 | x) is normal; of another
        posterior one draw for each example, of joined layers for some of them.

        Args:
            split: a split of the data.
            key: random key for such draws.
        """
        if not self.is_normal:
            z = self.draws(split.some(MOST_JOINED) if self.is_joined else split, key)
            return Codes(mean=z, std=jnp.zeros_like(z))
        mean, std = self.means_and_stds(split)
        return Codes(mean=jnp.asarray(mean), std=jnp.asarray(std))

    def means_and_stds(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of a split, see `moments`, both [N, D]."""
        return map_rows(
            lambda rows: _mean_and_std(self, split.x(rows)), len(split), CODES_PER_CHUNK
        )

    def draws(self, split: Split, key: Key) -> Array:
        """One draw of q(z1 | x) for each example of a split, [N, D].

        Args:
            split: a split of the data.
            key: random key for the draws.
        """
        if self.is_normal:
            codes = self.codes(split, key)
            eps = jax.random.normal(key, codes.mean.shape)
            return codes.mean + codes.std * eps

        def chunk(rows: np.ndarray) -> Array:
            return _draw(self, split.x(rows), jax.random.fold_in(key, rows[0]))

        return jnp.asarray(map_rows(chunk, len(split), CODES_PER_CHUNK))


@struct.dataclass
class FirstPrior:
    """p(z1) of a number of rows."""

    layer: FirstLayer
    num: int = struct.field(pytree_node=False)

    def sample(self, key: Key) -> Array:
        """One draw per row, [num, D]; of the layers above, too, in a hierarchy."""
        return _sample(self, key)

    def log_prob(self, x: Array) -> Array:
        """Nats, [num]; only where there is no layer above."""
        codes = split(x, self.layer.shapes)
        return self.layer.trained.prior(self.num).log_prob(codes)


_LAST = threading.local()  # members of a grid are measured side by side


def train_codes(layer: FirstLayer, train: Split, key: Key) -> Codes:
    """`FirstLayer.codes` of the training split, kept for the next measure.

    Args:
        layer: the first latent layer of a trained model.
        train: the training split.
        key: random key for draws, see `FirstLayer.codes`.
    """
    last = getattr(_LAST, "codes", None)
    if last is None or last[0] is not layer.trained or last[1] is not train:
        codes = layer.codes(train, stream(key, "train"))
        last = _LAST.codes = (layer.trained, train, codes)
    return last[2]


@jax.jit
def _decode(layer: FirstLayer, z: Array) -> Distribution:
    return layer.trained.decode(split(z, layer.shapes))


@jax.jit
def _sample(prior: FirstPrior, key: Key) -> Array:
    layer = prior.layer
    codes = layer.trained.prior(prior.num).sample(key)
    return join(codes[: len(layer.shapes)])


def _same_key() -> Key:
    """For layers that are given draws of those above: the same ones at each call."""
    return jax.random.key(0)


def _latents(layer: FirstLayer, x: Any, key: Key) -> tuple[Latent, ...]:
    """The layers in a row."""
    return layer.trained.encode(x, key)[: len(layer.shapes)]


@jax.jit
def _moments(layer: FirstLayer, x: Any) -> tuple[Array, Array]:
    latents = _latents(layer, x, _same_key())
    means, variances = zip(*(flat_moments(q.posterior) for q in latents), strict=True)
    return join(means), join(variances)


@jax.jit
def _mean_and_std(layer: FirstLayer, x: Any) -> tuple[Array, Array]:
    mean, variance = _moments(layer, x)
    return mean, jnp.sqrt(variance)


@jax.jit
def _points(layer: FirstLayer, x: Any) -> Array:
    return _draw(layer, x, _same_key()) if layer.is_joined else _moments(layer, x)[0]


@jax.jit
def _draw(layer: FirstLayer, x: Any, key: Key) -> Array:
    return join([latent.z for latent in _latents(layer, x, key)])
