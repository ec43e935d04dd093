"""The latent layer that the explorer moves through, of any model with images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.distributions import Quantized
from vae_jax.errors import ConfigError
from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.data import Split
from vae_jax.evaluation.first_layer import top_code
from vae_jax.outputs import flat_moments
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import Array, Examples, Given, Key

CHUNK = 200  # rows at a time
MOST_SIDE = 64  # pixels of a decoded image; larger ones are made smaller


@struct.dataclass
class MovedLayer:
    """The top latent layer that is continuous: what a reader moves.

    The layers below it are at the mean of their prior given its code. A class above it,
    as in M2, is chosen like the label of a conditional model.
    """

    trained: Trained
    number: int = struct.field(pytree_node=False)  # 0: next to the data
    shape: tuple[int, ...] = struct.field(pytree_node=False)  # of one code
    num_layers: int = struct.field(pytree_node=False)
    num_classes: int = struct.field(pytree_node=False)  # of the class above; 0: none

    @classmethod
    def of(cls, trained: Trained, x: Examples, name: object) -> "MovedLayer":
        """The layer of a model for data like x, [B, ...]; computes nothing.

        Args:
            trained: a model with its parameters.
            x: a batch as the model takes it.
            name: workdir of the run, for the message.

        Raises:
            ConfigError: its codes are discrete.
        """
        latents = jax.eval_shape(Trained.encode, trained, x, jax.random.key(0))
        number = top_code(latents)
        latent, *classes = latents[number:]
        num_classes = classes[0].z.shape[1] if classes else 0
        if latent.posterior.support == Quantized.support:
            raise ConfigError(
                f"--workdir={name}: the codes of this run are discrete, so there is"
                " nothing between them to explore"
            )
        return cls(trained, number, latent.z.shape[1:], len(latents), num_classes)

    @property
    def size(self) -> int:
        """E, how many numbers a code has."""
        return math.prod(self.shape)

    def name(self, dimension: int) -> str:
        """What readers call a dimension: z[3], or z2[3] of the second of two layers."""
        layer = self.number + 1 if self.num_layers - bool(self.num_classes) > 1 else ""
        return f"z{layer}[{dimension}]"

    def encode(self, split: Split, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is known of the codes of some examples.

        Args:
            split: a split of the data.
            rows: which of its examples, [N].

        Returns:
            `mean` and `variance` of the posterior, [N, E]; `is_standard` [N], whether
            the prior is N(0, I); `kl` [N, E], nats, where it has a part for each
            dimension; and `given` [N] where the decoder is given a label or a class.
        """
        return map_rows(lambda i: _encode(self, split.x(rows[i])), len(rows), CHUNK)

    def decode(self, codes: np.ndarray, given: np.ndarray | None) -> np.ndarray:
        """Means of p(x | z), [n, h, w, C] in [0, 1], no side above `MOST_SIDE`.

        Args:
            codes: [n, E].
            given: label or class of each, [n]; None where the decoder is given none.
        """

        def chunk(rows: np.ndarray) -> Array:
            own = None if given is None else jnp.asarray(given[rows])
            return _decode(self, jnp.asarray(codes[rows], jnp.float32), own)

        return map_rows(chunk, len(codes), CHUNK)

    def draws(self, key: Key, num: int, given: np.ndarray | None) -> np.ndarray:
        """Draws from the prior of this layer, [num, E].

        Args:
            key: random key for the draws.
            num: how many.
            given: what a conditional model is given, [num]; None for others.
        """
        codes = self.trained.prior(num, given).sample(key)
        return np.asarray(codes[self.number]).reshape(num, -1)


def small_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of an image of which no side is above `MOST_SIDE`."""
    factor = min(1.0, MOST_SIDE / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


@jax.jit
def _encode(layer: MovedLayer, x: Examples) -> dict[str, Array]:
    latents = layer.trained.encode(x, jax.random.key(0))
    latent = latents[layer.number]
    mean, variance = flat_moments(latent.posterior)
    is_standard = latent.has_standard_prior
    found = {"mean": mean, "variance": variance, "is_standard": is_standard}
    if latent.has_density and (kl := latent.kl()).shape == mean.shape:
        found["kl"] = kl
    if layer.num_classes:
        found["given"] = latents[-1].posterior.mean.argmax(axis=1)
    elif layer.trained.conditions_on is not None:
        found["given"] = layer.trained.given(x)
    return found


@jax.jit
def _decode(layer: MovedLayer, codes: Array, given: Given) -> Array:
    above: tuple[Array, ...] = (codes.reshape(-1, *layer.shape),)
    if layer.num_classes:
        above, given = (*above, jax.nn.one_hot(given, layer.num_classes)), None
    # At temperature 0 the layers below are at the mean of their prior.
    prior = layer.trained.prior(codes.shape[0], given)
    drawn = prior.sample(jax.random.key(0), 0.0, above)
    mean = image_likelihood(layer.trained.decode(drawn, given)).mean
    size = small_size(*mean.shape[1:3])
    small = jax.image.resize(mean, (mean.shape[0], *size, mean.shape[3]), "linear")
    return jnp.clip(small, 0.0, 1.0)
