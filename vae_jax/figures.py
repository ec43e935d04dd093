"""Pictures of a trained model: what its latent space holds."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array, Key, Params
from vae_jax.workdir import plots
from vae_jax.workdir.writers import read_metrics

STEPS = 10  # pictures in a row
ROWS = 8


def draw_all(
    model: Any,
    params: Params,
    x: Array,
    statistics: Mapping[str, Any],
    labels: np.ndarray | None,
    workdir: pathlib.Path,
    key: Key,
) -> None:
    """Writes workdir/figures/*.png.

    Args:
        model: with the methods encode, decode and sample_prior.
        params: of the model.
        x: some test inputs, [N, H, W, C].
        statistics: of the whole test split, from `likelihood.evaluate_images`.
        labels: of the test split, [N_test], or None.
        workdir: of the run; its metrics.jsonl gives the training curves.
        key: for the draws from the prior.
    """
    folder = workdir / "figures"
    folder.mkdir(exist_ok=True)
    variables = {"params": params}

    @jax.jit
    def decode(z: Array) -> Array:
        return model.apply(variables, z, method="decode").mean

    @jax.jit
    def encode(x: Array) -> Array:
        return model.apply(variables, x, method="encode").mean

    plots.training_curves(
        read_metrics(workdir / "metrics.jsonl"), folder / "training_curves.png"
    )
    codes = encode(x)
    plots.reconstructions(
        np.asarray(x[:16]),
        np.asarray(decode(codes[:16])),
        folder / "reconstructions.png",
    )
    z = model.apply(variables, key, 64, method="sample_prior")
    plots.samples(np.asarray(decode(z)), folder / "samples.png")

    pairs = min(ROWS, len(codes) // 2)
    lines = jnp.linspace(codes[:pairs], codes[pairs : 2 * pairs], STEPS, axis=1)
    plots.interpolations(_decode_grid(decode, lines), folder / "interpolations.png")

    means = statistics["mean"][0]
    kl = statistics["kl"][0].mean(axis=0) if "kl" in statistics else None
    busiest = np.argsort(-(means.var(axis=0) if kl is None else kl))[:ROWS]
    # Every row starts from the same code; an autoencoder's scale is its own.
    scale = means.std(axis=0) if kl is None else np.ones(means.shape[1])
    offsets = (
        np.linspace(-3, 3, STEPS)[None, :, None] * np.diag(scale)[busiest][:, None]
    )
    walks = np.where(offsets != 0, 0, np.asarray(codes[0])) + offsets
    plots.traversals(
        _decode_grid(decode, jnp.asarray(walks, jnp.float32)),
        folder / "traversals.png",
        [f"z[{d}]" for d in busiest],
    )
    if kl is not None:
        plots.kl_per_dimension(kl, folder / "kl_per_dimension.png")
    if means.shape[1] == 2:
        plots.latent_grid(prior_grid(decode), folder / "latent_grid.png")
        points, names = means, ("z[0]", "z[1]")
    else:
        points, names = principal_plane(means), ("first component", "second component")
    plots.latent_map(points, labels, folder / "latent_map.png", names)


def prior_grid(decode: Any, size: int = 20) -> np.ndarray:
    """Decodes a 2-D latent space at the quantiles of N(0, 1), [size, size, H, W, C]."""
    quantiles = (np.arange(size) + 0.5) / size
    axis = jax.scipy.stats.norm.ppf(quantiles)
    first, second = jnp.meshgrid(axis, axis[::-1])
    return _decode_grid(decode, jnp.stack([first, second], axis=-1))


def principal_plane(points: np.ndarray) -> np.ndarray:
    """Coordinates along the first two principal axes, [N, D] -> [N, 2]."""
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ axes[:2].T
    return plane if plane.shape[1] == 2 else np.pad(plane, ((0, 0), (0, 1)))


def _decode_grid(decode: Any, z: Array) -> np.ndarray:
    """Decodes [R, T, D] to [R, T, H, W, C]."""
    flat = np.asarray(decode(z.reshape(-1, z.shape[-1])))
    return flat.reshape(*z.shape[:2], *flat.shape[1:])
