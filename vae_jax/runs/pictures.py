"""What the figures of a run show of its model, as arrays and one function."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import CODES_PER_CHUNK, FirstLayer
from vae_jax.outputs import flat_moments
from vae_jax.report.latent_space import LatentSpace
from vae_jax.trained import Trained
from vae_jax.types import Array, Key, stream

NUM_SAMPLES = 64


def latent_space(
    trained: Trained, data: Data, key: Key, images: np.ndarray
) -> LatentSpace:
    """The latent layer next to the data, on the held-out split.

    Args:
        trained: a model with its parameters.
        data: data of the run.
        key: random key, the root key of the run.
        images: the first images of the held-out split, [n, H, W, C] in [0, 1].

    Returns:
        The arrays that `figures.draw_all` draws.
    """
    layer = FirstLayer.of(trained, data.heldout.x(np.zeros(1, int)))
    draws_key = stream(key, "figures")

    def chunk(rows: np.ndarray) -> tuple[Array, Array | None]:
        kl_key = jax.random.fold_in(draws_key, rows[0])
        return _mean_and_kl(trained, data.heldout.x(rows), kl_key)

    codes, kl = map_rows(chunk, len(data.heldout), CODES_PER_CHUNK)
    return LatentSpace(
        codes=codes,
        kl=None if kl is None else kl.mean(axis=0, dtype=np.float64),
        prior_codes=np.asarray(layer.prior(NUM_SAMPLES).sample(draws_key)),
        decode=lambda z: np.asarray(layer.decode(jnp.asarray(z)).mean),
        images=images,
        seen=np.asarray(data.heldout.x(np.arange(len(images)))),
        is_continuous=layer.is_continuous,
    )


@jax.jit
def _mean_and_kl(trained: Trained, x: Array, key: Key) -> tuple[Array, Array | None]:
    """Posterior means [B, D], and KL by dimension where there is a density."""
    latent = trained.encode(x, key)[0]
    mean, _ = flat_moments(latent.posterior)
    return mean, latent.kl() if latent.has_density else None
