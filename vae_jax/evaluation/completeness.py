"""Completeness: does every code drawn from the prior decode to something meaningful?

Measured on draws x ~ p(x | z) against held-out images on the same support, in pixels.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.tree_util import Partial

from vae_jax.distributions import flatten_event
from vae_jax.evaluation.chunks import even_rows, map_chunks
from vae_jax.keys import plain
from vae_jax.types import Array, Key

NEIGHBOURS = 5  # k of Naeem et al. 2020
FEATURES = 32  # principal components
PCA_ROWS = 500  # images that the components are computed from
POSTERIOR_MASS = 0.99
ROWS_PER_CHUNK = 250


@struct.dataclass
class RealImages:
    """Held-out images and what comparing draws with them needs; from `real_images`."""

    pixels: Array  # [n, P], less `shift`, as `center`
    squared_radii: Array  # [n], to the fifth nearest of the others
    center: Array  # [1, P], mean of training images
    components: Array  # [P, F], their principal components
    shift: Array  # [1, P], whole numbers, near that mean: less cancels in distances

    def shifted(self, fake: Array) -> Array:
        """Draws [n, ...] as rows, less what the real images are less."""
        return flatten_event(fake) - self.shift


@jax.jit
def draw(decode: Partial, z: Array, key: Key) -> Array:
    """One x ~ p(x | z) for each code, [n, D] -> [n, ...]."""

    def one_chunk(chunk: tuple[Array, Array]) -> Array:
        codes, keys = chunk
        return decode(codes).sample(plain(keys[0]))

    keys = jax.random.split(key, z.shape[0])
    return map_chunks(one_chunk, (z, keys), ROWS_PER_CHUNK)


@jax.jit
def real_images(heldout: Array, train: Array) -> RealImages:
    """Prepares held-out images for `compare`.

    Args:
        heldout: [n, ...], n > 5.
        train: training images, [m, ...]: up to 500 of them define up to 32 principal
            components, the features of the Frechet distance.

    Returns:
        The held-out images and what is computed of them once.
    """
    train = flatten_event(train)
    train = train[even_rows(len(train), PCA_ROWS)]
    center = train.mean(axis=0, keepdims=True)
    centered = train - center
    # Eigenvectors of the products of images, which are fewer than the pixels may be.
    products = jnp.matmul(centered, centered.T, precision="highest")
    _, vectors = jnp.linalg.eigh(products)  # eigenvalues ascend
    combined = jnp.matmul(centered.T, vectors[:, -FEATURES:], precision="highest")
    components, _ = jnp.linalg.qr(combined)
    # Whole, so that distances of binary images stay whole numbers.
    shift = jnp.round(center)
    pixels = flatten_event(heldout) - shift
    return RealImages(pixels, _squared_radii(pixels), center - shift, components, shift)


@jax.jit
def compare(real: RealImages, fake: Array) -> dict[str, Array]:
    """How well draws cover held-out images.

    Around each real image lies a ball that reaches to its fifth nearest real neighbour.

    Args:
        real: n held-out images.
        fake: draws, [n, ...]. As many as real images, because the coverage of perfect
            draws depends on both numbers: 1 - 2^-5 = 0.97 where they are equal.

    Returns:
        `coverage`, the share of balls with a draw inside (Naeem et al. 2020, section
        3.2), and `frechet_pca` (see `frechet_pca`).
    """
    return {
        "coverage": _inside(real, real.shifted(fake)).any(axis=1).mean(),
        "frechet_pca": frechet_pca(real, fake),
    }


@jax.jit
def mislead(real: RealImages, fake: Array) -> dict[str, Array]:
    """Numbers of the literature that rank models wrongly: see docs/regularity.md.

    Args:
        real: n held-out images.
        fake: draws, [n, ...].

    Returns:
        `density`, how many balls a draw lies in / 5, `precision`, the share of draws in
        any ball (Naeem et al. 2020, sections 3.2 and 2.2), and `recall`, the share of
        real images in a ball around a draw.
    """
    fake = real.shifted(fake)
    inside = _inside(real, fake)
    distances = _squared_distances(real.pixels, fake)
    in_fake_ball = distances <= _squared_radii(fake)[None, :]
    return {
        "density": inside.sum(axis=0).mean() / NEIGHBOURS,
        "precision": inside.any(axis=0).mean(),
        "recall": in_fake_ball.any(axis=1).mean(),
    }


def _inside(real: RealImages, fake: Array) -> Array:
    """Which draw lies in the ball around which real image, [n, n]."""
    # <= because distances of binary images are whole numbers and often equal.
    return _squared_distances(real.pixels, fake) <= real.squared_radii[:, None]


def frechet_pca(real: RealImages, fake: Array) -> Array:
    """Frechet distance in principal components, as a share of the real variance.

    (|m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^1/2)) / tr C_r with means m and
    covariances C of the features: Heusel et al. 2017, equation 6, with linear features.

    Args:
        real: held-out images.
        fake: draws, [n, ...].

    Returns:
        The distance, 0 or more; 1 for draws that all equal the mean of the real images.
    """

    def moments(x: Array) -> tuple[Array, Array]:
        features = jnp.matmul(x - real.center, real.components, precision="highest")
        mean = features.mean(axis=0)
        features = features - mean[None, :]
        return mean, jnp.matmul(features.T, features, precision="highest") / len(x)

    mean_r, cov_r = moments(real.pixels)
    mean_f, cov_f = moments(real.shifted(fake))
    values, vectors = jnp.linalg.eigh(cov_r)
    root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]
    # root^T C_f root is symmetric and has the eigenvalues of C_r C_f.
    product = jnp.linalg.multi_dot([root.T, cov_f, root], precision="highest")
    overlap = jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(product), 0.0)).sum()
    distance = ((mean_r - mean_f) ** 2).sum() + jnp.trace(cov_r + cov_f) - 2 * overlap
    return jnp.maximum(distance, 0.0) / jnp.trace(cov_r)


@jax.jit
def round_trip(moments: Partial, z: Array, x: Array) -> dict[str, Array]:
    """Whether the encoder finds the codes again that draws were decoded from.

    Args:
        moments: x [B, ...] -> mean and variance of q(z | x), [B, D].
        z: codes from the prior, [n, D].
        x: one draw x ~ p(x | z) for each, [n, ...].

    Returns:
        `round_trip`, E|mean(x) - z|^2 / E|z|^2: the mean posterior variance if q is the
        exact posterior of a standard normal prior, 1 if the encoder always answers 0.
        `round_trip_inside`, the share of z within the 99% region of N(mean, variance):
        0.99 for the exact posterior, nan for a point, which has no region.
    """
    mean, variance = map_chunks(moments, x, ROWS_PER_CHUNK)
    squared_error = (mean - z) ** 2
    squared_radius = (squared_error / variance).sum(axis=1)
    # gammainc is the chi-squared distribution function with D degrees of freedom.
    mass = jax.scipy.special.gammainc(z.shape[1] / 2, squared_radius / 2)
    inside = (mass <= POSTERIOR_MASS).mean()
    return {
        "round_trip": squared_error.sum() / (z**2).sum(),
        "round_trip_inside": jnp.where((variance > 0).all(), inside, jnp.nan),
    }


def _squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, [n, P] and [m, P] -> [n, m]."""
    product = jnp.matmul(a, b.T, precision="highest")
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :]
    return jnp.maximum(squares - 2 * product, 0.0)


def _squared_radii(x: Array) -> Array:
    """Squared distance of each row to its fifth nearest other row, [n]."""
    others = jnp.where(jnp.eye(len(x), dtype=bool), jnp.inf, _squared_distances(x, x))
    return jnp.partition(others, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
