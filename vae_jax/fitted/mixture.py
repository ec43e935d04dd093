"""Normals with full covariances: one with the codes' moments, or a mixture of them."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.distributions.base import LOG_2PI
from vae_jax.errors import ConfigError, DataError
from vae_jax.evaluation.chunks import Progress
from vae_jax.fitted.base import Draws
from vae_jax.ranges import COUNT, require
from vae_jax.types import Array, Key

# Added to every variance, as a share of the mean one: a dimension that is constant, as
# those that an autoencoder leaves unused, has no density otherwise.
RIDGE = 1e-6
MAX_ITERATIONS = 2000


@struct.dataclass
class FullMixture:
    """sum_c weight_c N(mean_c, root_c root_c^T): a `FittedPrior`."""

    log_weights: Array  # [C], their exponentials sum to 1
    mean: Array  # [C, D]
    root: Array  # [C, D, D], lower triangles
    shape: tuple[int, ...] = struct.field(pytree_node=False)  # of one code, D numbers

    support: ClassVar[str] = "real"

    def sample(self, key: Key, num: int, temperature: float = 1.0) -> Array:
        """Draws, [num, ...]; the temperature multiplies each component's std."""
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(
            component_key, self.log_weights, shape=(num,)
        )
        eps = temperature * jax.random.normal(noise_key, (num, self.mean.shape[1]))
        shift = jnp.einsum("nij,nj->ni", self.root[component], eps, precision="highest")
        return (self.mean[component] + shift).reshape(num, *self.shape)

    def log_prob(self, z: Array) -> Array:
        """Nats, [B, ...] -> [B]."""
        rows = z.reshape(z.shape[0], -1)

        def component(mean: Array, root: Array) -> Array:
            eps = jax.scipy.linalg.solve_triangular(
                root, (rows - mean[None, :]).T, lower=True
            )
            return -0.5 * (eps**2 + LOG_2PI).sum(axis=0) - log_det(root)

        log_probs = jax.vmap(component)(self.mean, self.root)  # [C, B]
        return jax.nn.logsumexp(self.log_weights[:, None] + log_probs, axis=0)


def log_det(root: Array) -> Array:
    """Logarithm of the determinant of a lower triangle, nats, [D, D] -> []."""
    return jnp.log(jnp.diagonal(root)).sum()


def like(draws: Draws, key: Key, num_components: int = 1) -> FullMixture:
    """Standard normals, all alike."""
    dim = draws.dim
    return FullMixture(
        log_weights=jnp.full(num_components, -jnp.log(num_components)),
        mean=jnp.zeros((num_components, dim)),
        root=jnp.broadcast_to(jnp.eye(dim), (num_components, dim, dim)),
        shape=draws.shape,
    )


def fit_gaussian(
    draws: Draws, key: Key, progress: Progress | None = None
) -> FullMixture:
    """The normal with mean and full covariance of the training codes.

    Args:
        draws: the codes; those of the validation split are not read.
        key: not used, nothing is drawn.
        progress: not used, it takes no time.

    Raises:
        DataError: all codes are equal.
    """
    rows = _rows(draws.train)
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    ridge = RIDGE * _mean_variance(rows) * np.eye(draws.dim)
    root = np.linalg.cholesky(covariance + ridge)
    return _mixture(np.ones(1), mean[None], root[None], draws.shape)


def fit_mixture(
    draws: Draws, key: Key, progress: Progress | None = None, num_components: int = 10
) -> FullMixture:
    """A mixture of normals by expectation maximisation, that of scikit-learn.

    Ghosh et al. 2020, arXiv:1903.12436, fit it to the codes of autoencoders, with ten
    components.

    Args:
        draws: the codes; those of the validation split are not read.
        key: random key for the start.
        progress: not used; scikit-learn gives no news of it.
        num_components: how many normals.

    Raises:
        ConfigError: num_components is no whole number above 0, or there are fewer
            codes.
        DataError: all codes are equal.
    """
    require(COUNT, num_components=num_components)
    rows = _rows(draws.train)
    if num_components > len(rows):
        raise ConfigError(
            f"num_components={num_components}: must be at most the number of training"
            f" codes, {len(rows)}"
        )
    from sklearn.mixture import GaussianMixture  # slow to import

    # In units of their spread, because scikit-learn's ridge has none.
    scale = np.sqrt(_mean_variance(rows))
    center = rows.mean(axis=0)
    found = GaussianMixture(
        num_components,
        max_iter=MAX_ITERATIONS,
        reg_covar=RIDGE,
        random_state=int(jax.random.bits(key)),
    ).fit((rows - center) / scale)
    roots = np.linalg.cholesky(found.covariances_)
    return _mixture(
        found.weights_, center + scale * found.means_, scale * roots, draws.shape
    )


def _rows(codes: Array) -> np.ndarray:
    """The codes as rows in double precision, [N, D]."""
    return np.asarray(codes, np.float64).reshape(len(codes), -1)


def _mean_variance(rows: np.ndarray) -> float:
    """Mean over dimensions of the codes' variance.

    Raises:
        DataError: it is 0.
    """
    variance = float(rows.var(axis=0).mean())
    if not variance > 0:
        raise DataError(f"the {len(rows)} codes are all equal: they have no density")
    return variance


def _mixture(
    weights: np.ndarray, mean: np.ndarray, root: np.ndarray, shape: tuple[int, ...]
) -> FullMixture:
    """The same numbers in single precision."""
    log_weights = jnp.float32(np.log(weights))
    return FullMixture(log_weights, jnp.float32(mean), jnp.float32(root), shape)
