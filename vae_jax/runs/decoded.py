"""What a trained model draws and reconstructs, as arrays, a chunk at a time."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from vae_jax.data.examples import image_of, num_examples, take
from vae_jax.distributions import Distribution
from vae_jax.errors import ConfigError, choose
from vae_jax.evaluation.chunks import map_rows
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.joined import split
from vae_jax.keys import plain
from vae_jax.ranges import COUNT, require
from vae_jax.report.latent_space import PATHS
from vae_jax.runs.asked_labels import Labels, as_list
from vae_jax.trained import Trained, image_likelihood
from vae_jax.types import AnyArray, Array, Codes, Examples, Given, Key

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

    Raises:
        ConfigError: `num` is no count.
    """
    require(COUNT, num=num)
    count = min(CHUNK, num)

    def of_rows(rows: np.ndarray) -> dict[str, Array]:
        own_key = jax.random.fold_in(key, rows[0] // CHUNK)
        return _decoded(trained, own_key, take(given, rows), count, temperature)

    return map_rows(of_rows, num, CHUNK)


@functools.partial(jax.jit, static_argnames=("num", "temperature"))
def _decoded(
    trained: Trained, key: Key, given: Given, num: int, temperature: float
) -> dict[str, Array]:
    z_key, x_key = jax.random.split(key)
    codes = trained.prior(num, given).sample(z_key, temperature)
    likelihood = image_likelihood(trained.decode(codes, given))
    parts = {f"z{i}" if i > 1 else "z": z for i, z in enumerate(codes, start=1)}
    parts["mean"] = likelihood.mean
    if likelihood.normalized:
        parts["draw"] = likelihood.sample(plain(x_key))
    return parts


def reconstruct(
    layer: FirstLayer, draw: Callable[[Examples, AnyArray], Examples], images: Examples
) -> dict[str, np.ndarray]:
    """Encodes and decodes images.

    Args:
        layer: the first latent layer of a trained model.
        draw: (images, rows) -> x.
        images: arrays [N, ...] as `draw` takes them.

    Returns:
        `x` the images as the model saw it, `mean` its reconstruction (both
        [N, H, W, C]), and the mean and the standard deviation of the posterior, `code`
        and `std`, [N, D]; see `FirstLayer`, also about what is decoded.
    """
    images = jax.tree.map(np.asarray, images)

    def of_rows(rows: np.ndarray) -> dict[str, Array]:
        return _reconstructed(layer, draw(take(images, rows), rows))

    return map_rows(of_rows, num_examples(images), CHUNK)


@jax.jit
def _reconstructed(layer: FirstLayer, x: Examples) -> dict[str, Array]:
    code, variance = layer.moments(x)
    mean = layer.decode(layer.points(x)).mean
    std = jnp.sqrt(variance)
    return {"x": image_of(x), "mean": mean, "code": code, "std": std}


def row_size(layer: FirstLayer) -> int:
    """How many numbers a row of codes has, without a label."""
    return sum(map(math.prod, layer.shapes))


def split_rows(layer: FirstLayer, codes: Codes) -> Codes:
    """Codes as the model has them, of rows that hold them side by side.

    Args:
        layer: the first latent layer of a trained model.
        codes: one array of rows [N, D]; others are codes of the model already.

    Raises:
        ConfigError: no rows, or codes of another shape than the model's.
    """
    found, size = [list(z.shape) for z in codes], row_size(layer)
    wanted = [["N", *shape] for shape in layer.shapes]
    if len(codes) == 1 and found[0][1:] == [size]:
        codes = split(codes[0], layer.shapes)
    elif len(codes) < len(wanted) or any(
        own[1:] != shape[1:] for own, shape in zip(found, wanted, strict=False)
    ):
        shapes = ", ".join(str(shape).replace("'", "") for shape in wanted)
        rows = f", or rows [N, {size}]," if wanted != [["N", size]] else ""
        raise ConfigError(
            f"codes have shape {', '.join(map(str, found))}: must be {shapes}{rows} for"
            " this model"
        )
    if not len(codes[0]):
        raise ConfigError(f"codes have shape {found[0]}: there must be one or more")
    return codes


def means(
    decode: Callable[[np.ndarray, Labels], Distribution],
    codes: np.ndarray,
    label: Labels,
) -> np.ndarray:
    """Means of p(x | z) for codes in rows, however many, [N, H, W, C].

    Args:
        decode: `Run.decode`.
        codes: [N, D].
        label: what a conditional model is to decode, as `Run.given` takes it.
    """
    labels = None if label is None else np.resize(as_list(label), len(codes))

    def of_rows(rows: np.ndarray) -> Array:
        own = None if labels is None else labels[rows].tolist()
        return decode(codes[rows], own).mean

    return map_rows(of_rows, len(codes), CHUNK)


def interpolate(
    layer: FirstLayer, points: ArrayLike, steps: int, path: str
) -> np.ndarray:
    """Decodes the codes between one and the next.

    Args:
        layer: the first latent layer of a trained model.
        points: [N, D], as `FirstLayer.points` gives them. A label at the end of a row
            stays that of the first of two.
        steps: T, codes from each one to the next, both among them.
        path: "linear", or "spherical" around the origin: as far from it as draws of a
            standard normal prior are, if both ends are such draws.

    Returns:
        Means of p(x | z), [N - 1, T, H, W, C].

    Raises:
        ConfigError: fewer than two codes, rows of another length than the model's,
            fewer than two steps, an unknown path, or codes that are discrete.
    """
    if not layer.is_continuous:
        raise ConfigError("the model has discrete codes: there are none between two")
    points, size = np.asarray(points, np.float32), row_size(layer)
    width = size + layer.is_conditional
    if points.ndim != 2 or points.shape[1] != width or len(points) < 2:
        raise ConfigError(
            f"points have shape {list(points.shape)}: must be [N, {width}], with an N"
            " of 2 or more"
        )
    if steps < 2:
        raise ConfigError(f"steps={steps}: must be at least 2")
    choose(PATHS, "path", path)
    lines = PATHS[path](points[:-1, :size], points[1:, :size], steps)
    held = np.repeat(points[:-1, None, size:], steps, axis=1)
    between = np.concatenate([lines, held], axis=2)
    flat = between.reshape(-1, width).astype(np.float32)
    images = map_rows(lambda rows: layer.decode(flat[rows]).mean, len(flat), CHUNK)
    return images.reshape(*between.shape[:2], *images.shape[1:])
