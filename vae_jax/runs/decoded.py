"""What a trained model draws and reconstructs, as arrays, a chunk at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data.examples import Examples, image_of, num_examples, take
from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import Array, Key

CHUNK = 500  # images decoded at once


def draws(
    trained: Trained, key: Key, num: int, temperature: float, given: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Draws from the prior and decodes.

    Args:
        trained: a model with its parameters.
        key: random key for the draws.
        num: how many.
        temperature: multiplies the prior's standard deviation.
        given: what a conditional model conditions on, [num].

    Returns:
        `z` [num, ...] of the layer next to the data, with several layers also those
        above, `z2`, ...; `mean` [num, H, W, C] of p(x | z) and, where the likelihood
        can be drawn from, `draw` [num, H, W, C].
    """

    @jax.jit
    def chunk(key: Key, given: Any) -> dict[str, Array]:
        z_key, x_key = jax.random.split(key)
        codes = trained.prior(min(CHUNK, num), given).sample(z_key, temperature)
        likelihood = image_likelihood(trained.decode(codes, given))
        parts = {f"z{i}" if i > 1 else "z": z for i, z in enumerate(codes, start=1)}
        parts["mean"] = likelihood.mean
        if likelihood.normalized:
            parts["draw"] = likelihood.sample(x_key)
        return parts

    def of_rows(rows: np.ndarray) -> dict[str, Array]:
        return chunk(jax.random.fold_in(key, rows[0] // CHUNK), take(given, rows))

    return map_rows(of_rows, num, CHUNK)


def reconstruct(
    trained: Trained, draw: Callable[[Any, Any], Any], images: Examples
) -> dict[str, np.ndarray]:
    """Encodes and decodes images.

    Args:
        trained: a model with its parameters.
        draw: (images, rows) -> x.
        images: arrays [N, ...] as `draw` takes them.

    Returns:
        `x` the images as the model saw it, `mean` its reconstruction (both
        [N, H, W, C]), and the mean and the standard deviation of the posterior, `code`
        and `std`, [N, D]; see `FirstLayer`, also about what is decoded.
    """
    images = jax.tree.map(np.asarray, images)
    one_x = draw(take(images, np.zeros(1, int)), jnp.zeros(1, int))
    layer = FirstLayer.of(trained, one_x)

    @jax.jit
    def chunk(rows: Array, images: Any) -> dict[str, Array]:
        x = draw(images, rows)
        code, variance = layer.moments(x)
        mean = layer.decode(layer.points(x)).mean
        std = jnp.sqrt(variance)
        return {"x": image_of(x), "mean": mean, "code": code, "std": std}

    return map_rows(
        lambda rows: chunk(rows, take(images, rows)), num_examples(images), CHUNK
    )
