"""The latent layer next to the data, of a model with one layer or several.

What is written about codes as points of a space (continuity, the aggregated posterior)
is of this layer. Here its codes are rows [n, D], whatever their shape in the model. A
row holds all that the decoder needs, side by side: the codes of all layers, where a
model decodes them all (`decodes_all_layers`), and at its end the label, where a model
is given one (`conditions_on`).
"""

import threading
from collections.abc import Mapping, Sequence
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
from vae_jax.distributions.one_hot import OneHot
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.chunks import even_rows, map_rows
from vae_jax.evaluation.data import Split
from vae_jax.evaluation.joined import Shapes, join, shapes_of, split
from vae_jax.outputs import Latent, flat_moments
from vae_jax.trained import Trained, first_posterior, image_likelihood
from vae_jax.types import Array, Examples, Given, Key, stream

CODES_PER_CHUNK = 1000
MOST_JOINED = 2000  # examples whose joined codes are kept: they may be long


def top_code(latents: Sequence[Latent]) -> int:
    """The number of the top layer that is a code: where a class is above it, the next.

    Args:
        latents: those of a model, the one next to the data, number 0, first.
    """
    return len(latents) - 1 - isinstance(latents[-1].posterior, OneHot)


@struct.dataclass
class FirstLayer:
    """A trained model, seen from the data: x, what is decoded, and nothing above."""

    trained: Trained
    posterior: type[Posterior] = struct.field(pytree_node=False)  # of q(z1 | x)
    shapes: Shapes = struct.field(pytree_node=False)  # of the codes in a row
    # Whether there are codes between any two: not where one is discrete.
    is_continuous: bool = struct.field(pytree_node=False)
    is_only: bool = struct.field(pytree_node=False)  # whether there is no other layer
    # The number of the layer that a map shows: where all are decoded, the top code,
    # which depends on no other draw but that of a class above it.
    mapped: int = struct.field(pytree_node=False)
    takes_images: bool = struct.field(pytree_node=False)  # whether x is no dict

    @classmethod
    def of(cls, trained: Trained, x: Examples) -> "FirstLayer":
        """The layer of a model for data like x, [B, ...]; computes nothing."""
        latents = jax.eval_shape(Trained.encode, trained, x, jax.random.key(0))
        decodes_all = getattr(trained.model, "decodes_all_layers", False)
        read = latents if decodes_all else latents[:1]
        return cls(
            trained,
            type(latents[0].posterior),
            shapes_of([latent.z for latent in read]),
            all(latent.posterior.support != Quantized.support for latent in read),
            is_only=len(read) == len(latents),
            mapped=top_code(latents) if decodes_all else 0,
            takes_images=not isinstance(x, Mapping),
        )

    @classmethod
    def of_split(cls, trained: Trained, split: Split) -> "FirstLayer":
        """The layer of a model for the examples of a split; computes nothing."""
        return cls.of(trained, split.some(1).x())

    @property
    def is_joined(self) -> bool:
        """Whether a row holds more than one code: several layers', or a label."""
        return len(self.shapes) > 1 or self.is_conditional

    @property
    def is_conditional(self) -> bool:
        """Whether the last number of a row is what the decoder is given."""
        return self.trained.conditions_on is not None

    @property
    def is_normal(self) -> bool:
        """Whether q(z1 | x) is a diagonal normal, or a point: one without variance.

        Several layers together are neither, nor is a code with a label.
        """
        is_normal = issubclass(self.posterior, DiagonalNormal | Deterministic)
        return is_normal and not self.is_joined

    @property
    def is_quantized(self) -> bool:
        """Whether q(z1 | x) chooses entries of a codebook, see `indices`."""
        return issubclass(self.posterior, Quantized)

    @property
    def decode(self) -> Partial:
        """Rows [B, D], and labels [B] in place of theirs if given -> p(image | z)."""
        return Partial(_decode, self)

    @property
    def moments(self) -> Partial:
        """x -> mean and variance of q(z1 | x), both [B, D], without a label.

        Of joined layers those of each one, given a draw of the layers above.
        """
        return Partial(_moments, self)

    @property
    def points(self) -> Partial:
        """x -> the codes that stand for it in a picture, [B, D].

        The mean of q(z1 | x); of joined layers a draw, the same at each call.
        """
        return Partial(_points, self)

    def given_as_in(self, split: Split, num: int) -> Given:
        """What draws of a conditional model are given, as often as in the data.

        With the labels of examples that are evenly spread over a split, draws of
        p(x | label) are draws of p(x).

        Args:
            split: a split of the data.
            num: how many draws.

        Returns:
            Labels [num]; None for an unconditional model.
        """
        if not self.is_conditional:
            return None
        given = self.trained.given(split.x(even_rows(len(split), num)))
        return jnp.resize(given, (num,))

    def prior(self, num: int, given: Given = None) -> "FirstPrior":
        """p(z1) of `num` rows.

        Args:
            num: number of rows.
            given: what a conditional model is given, [num].
        """
        return FirstPrior(self, num, given)

    def codes(self, split: Split, key: Key) -> Codes:
        """What q(z1) of a split is made of, [N, D].

        Posterior means and standard deviations where q(z1 | x) is normal; of another
        posterior one draw for each example, of joined rows for some of them.

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
        mean, variance = map_rows(
            lambda rows: self.moments(split.x(rows)), len(split), CODES_PER_CHUNK
        )
        return mean, np.sqrt(variance)

    def indices(self, split: Split) -> np.ndarray:
        """Numbers of the codes of a split, [N, S] at S sites, of quantized codes alone.

        Args:
            split: a split of the data.
        """
        return map_rows(
            lambda rows: _index(self, split.x(rows)), len(split), CODES_PER_CHUNK
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
    given: Given = None

    @property
    def is_factorised(self) -> bool:
        """Whether the dimensions are independent, as those of a diagonal normal."""
        return getattr(self.layer.trained.prior(1), "is_factorised", False)

    @jax.jit
    def sample(self, key: Key) -> Array:
        """One draw per row, [num, D]; of the layers above, too, in a hierarchy."""
        codes = self.layer.trained.prior(self.num, self.given).sample(key)
        return _row(self.layer, codes[: len(self.layer.shapes)], self.given)

    def log_prob(self, x: Array) -> Array:
        """Nats, [num]; only where there is no layer above."""
        codes, given = _parts(self.layer, x)
        return self.layer.trained.prior(self.num, given).log_prob(codes)


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


def _row(layer: FirstLayer, codes: Sequence[Array], given: Given) -> Array:
    """The codes that are read, and the label, side by side, [B, D]."""
    return join([*codes, given] if layer.is_conditional else codes)


def _parts(layer: FirstLayer, row: Array) -> tuple[tuple[Array, ...], Array | None]:
    """The inverse: codes, and what the decoder is given with them."""
    if not layer.is_conditional:
        return split(row, layer.shapes), None
    *codes, given = split(row, (*layer.shapes, ()))
    return tuple(codes), given.astype(jnp.int32)


@jax.jit
def _decode(layer: FirstLayer, z: Array, given: Given = None) -> Distribution:
    codes, own = _parts(layer, z)
    given = own if given is None else given
    return image_likelihood(layer.trained.decode(codes, given))


def _latents(layer: FirstLayer, x: Examples, key: Key) -> tuple[Latent, ...]:
    """The layers in a row."""
    return layer.trained.encode(x, key)[: len(layer.shapes)]


@jax.jit
def _moments(layer: FirstLayer, x: Examples) -> tuple[Array, Array]:
    # A layer may be given draws of those above: the same ones at each call.
    latents = _latents(layer, x, jax.random.key(0))
    means, variances = zip(*(flat_moments(q.posterior) for q in latents), strict=True)
    return join(means), join(variances)


def _index(layer: FirstLayer, x: Examples) -> Array:
    posterior: Any = first_posterior(layer.trained, x)
    return posterior.index.reshape(posterior.index.shape[0], -1)


@jax.jit
def _points(layer: FirstLayer, x: Examples) -> Array:
    if len(layer.shapes) > 1:
        return _draw(layer, x, jax.random.key(0))
    return _row(layer, [_moments(layer, x)[0]], layer.trained.given(x))


@jax.jit
def _draw(layer: FirstLayer, x: Examples, key: Key) -> Array:
    codes = [latent.z for latent in _latents(layer, x, key)]
    return _row(layer, codes, layer.trained.given(x))
