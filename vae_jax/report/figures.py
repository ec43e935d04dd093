"""Pictures of a trained model: what its latent space holds."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.scipy.stats import norm

from vae_jax.report import plots
from vae_jax.storage.records import read_metrics

STEPS = 10  # pictures in a row
ROWS = 8
SHOWN = 16  # reconstructions

Decode = Callable[[Any], np.ndarray]


def draw_all(
    encode: Callable[[Any], np.ndarray],
    decode: Decode,
    prior_codes: np.ndarray,
    shown: tuple[np.ndarray, Any],
    statistics: Mapping[str, Any],
    labels: np.ndarray | None,
    workdir: pathlib.Path,
) -> None:
    """Writes workdir/figures/*.png; no interpolations of fewer than two images.

    Args:
        encode: x [B, H, W, C] -> mean of q(z | x), [B, D].
        decode: z [B, D] -> mean of p(x | z), [B, H, W, C].
        prior_codes: draws from p(z), [N, D].
        shown: some test images in [0, 1] and what the model sees of them, which
            binarisation or noise may have changed; both [N, H, W, C].
        statistics: of the whole test split, from `likelihood.evaluate_images`.
        labels: of the test split, [N_test], or None.
        workdir: of the run; its metrics.jsonl gives the training curves.
    """
    folder = workdir / "figures"
    folder.mkdir(exist_ok=True)
    plots.training_curves(
        read_metrics(workdir / "metrics.jsonl"), folder / "training_curves.png"
    )
    images, x = shown
    codes = encode(x)
    plots.reconstructions(
        images[:SHOWN],
        decode(codes)[:SHOWN],
        folder / "reconstructions.png",
        seen=np.asarray(x)[:SHOWN],
    )
    plots.samples(decode(prior_codes), folder / "samples.png")

    pairs = min(ROWS, len(codes) // 2)
    if pairs:  # a single image has no other to go to
        lines = np.linspace(codes[:pairs], codes[pairs : 2 * pairs], STEPS, axis=1)
        plots.interpolations(_decode_grid(decode, lines), folder / "interpolations.png")

    means = statistics["mean"][0]
    kl = statistics["kl"][0].mean(axis=0) if "kl" in statistics else None
    spread = means.std(axis=0)
    busiest = np.argsort(-(spread if kl is None else kl))[:ROWS]
    # An autoencoder's scale is its own; a VAE's is that of the prior.
    reach = 3 * (spread if kl is None else np.ones_like(spread))
    walks = np.tile(codes[0], (len(busiest), STEPS, 1))
    for row, d in enumerate(busiest):
        walks[row, :, d] = np.linspace(-reach[d], reach[d], STEPS)
    plots.traversals(
        _decode_grid(decode, walks),
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
    plots.latent_map(
        points,
        labels,
        folder / "latent_map.png",
        names,
        prior_circles="kl" in statistics,  # an autoencoder has no prior
    )


def prior_grid(decode: Decode, size: int = 20) -> np.ndarray:
    """Decodes a 2-D latent space at the quantiles of N(0, 1), [size, size, H, W, C]."""
    quantiles = (np.arange(size) + 0.5) / size
    axis = np.asarray(norm.ppf(quantiles))
    first, second = np.meshgrid(axis, axis[::-1])
    return _decode_grid(decode, np.stack([first, second], axis=-1))


def principal_plane(points: np.ndarray) -> np.ndarray:
    """Coordinates along the first two principal axes, [N, D] -> [N, 2].

    The origin stays where it is: it is the centre of the prior.
    """
    # Divided by N, not N - 1: one point has a plane, too.
    covariance = np.cov(points.T, bias=True).reshape(points.shape[1], -1)
    _, axes = np.linalg.eigh(covariance)
    plane = points @ axes[:, ::-1][:, :2]
    return plane if plane.shape[1] == 2 else np.pad(plane, ((0, 0), (0, 1)))


def _decode_grid(decode: Decode, z: np.ndarray) -> np.ndarray:
    """Decodes [R, T, D] to [R, T, H, W, C]."""
    flat = decode(z.reshape(-1, z.shape[-1]).astype(np.float32))
    return flat.reshape(*z.shape[:2], *flat.shape[1:])
