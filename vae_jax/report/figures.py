"""Pictures of a trained model: what its latent space holds."""

import pathlib

import numpy as np

from vae_jax.report import latent_plots, plots
from vae_jax.report.latent_space import LatentSpace, principal_plane, prior_grid
from vae_jax.storage.records import read_metrics

STEPS = 10  # pictures in a row
ROWS = 8
SHOWN = 16  # reconstructions


def draw_all(
    space: LatentSpace, labels: np.ndarray | None, workdir: pathlib.Path
) -> None:
    """Writes workdir/figures/*.png.

    There are no interpolations of fewer than two images, and of discrete codes no
    picture of what lies between them, nor of a rate by dimension that is a constant.

    Args:
        space: latent space of the model on the test split.
        labels: labels of the test split, [N], or None.
        workdir: folder of the run; its metrics.jsonl gives the training curves.
    """
    folder = workdir / "figures"
    folder.mkdir(exist_ok=True)
    plots.training_curves(
        read_metrics(workdir / "metrics.jsonl"), folder / "training_curves.png"
    )
    shown = space.codes[: len(space.images)]
    plots.reconstructions(
        space.images[:SHOWN],
        space.decode(shown[:SHOWN]),
        folder / "reconstructions.png",
        seen=space.seen[:SHOWN],
    )
    plots.samples(space.decode(space.prior_codes), folder / "samples.png")
    if space.is_continuous:
        _draw_between(space, folder)
    two = space.is_continuous and space.codes.shape[1] == 2
    latent_plots.latent_map(
        space.codes if two else principal_plane(space.codes),
        labels,
        folder / "latent_map.png",
        ("z[0]", "z[1]") if two else ("first component", "second component"),
        # Neither an autoencoder nor discrete codes have a normal prior.
        prior_circles=space.is_continuous and space.kl is not None,
    )


def _draw_between(space: LatentSpace, folder: pathlib.Path) -> None:
    """What lies between codes and along their dimensions."""
    shown = space.codes[: len(space.images)]
    pairs = min(ROWS, len(shown) // 2)
    if pairs:  # a single image has no other to go to
        lines = np.linspace(shown[:pairs], shown[pairs : 2 * pairs], STEPS, axis=1)
        latent_plots.interpolations(
            space.decode_grid(lines), folder / "interpolations.png"
        )
    _draw_traversals(space, folder)
    if space.kl is not None:
        latent_plots.kl_per_dimension(space.kl, folder / "kl_per_dimension.png")
    if space.codes.shape[1] == 2:
        latent_plots.latent_grid(
            space.decode_grid(prior_grid()), folder / "latent_grid.png"
        )


def _draw_traversals(space: LatentSpace, folder: pathlib.Path) -> None:
    """Walks along the busiest dimensions from the code of the first image."""
    spread = space.codes.std(axis=0)
    by_kl = space.kl is not None and len(space.kl) == len(spread)
    busyness = space.kl if space.kl is not None and by_kl else spread
    busiest = np.argsort(-busyness)[:ROWS]
    # An autoencoder's scale is its own; a VAE's is that of the prior.
    reach = 3 * (spread if space.kl is None else np.ones_like(spread))
    walks = np.tile(space.codes[0], (len(busiest), STEPS, 1))
    for row, d in enumerate(busiest):
        walks[row, :, d] = np.linspace(-reach[d], reach[d], STEPS)
    titles = [f"z[{d}]" for d in busiest]
    latent_plots.traversals(space.decode_grid(walks), folder / "traversals.png", titles)
