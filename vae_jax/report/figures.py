"""Pictures of a trained model: what its latent space holds."""

import pathlib

import numpy as np

from vae_jax.report import latent_plots, layer_plots, plots
from vae_jax.report.latent_space import LatentSpace, principal_plane, prior_grid
from vae_jax.storage.records import read_metrics

STEPS = 10  # pictures in a row
ROWS = 8
SHOWN = 16  # images whose codes are decoded


def draw_all(
    space: LatentSpace, labels: np.ndarray | None, workdir: pathlib.Path
) -> None:
    """Writes workdir/figures/*.png.

    There are no interpolations of fewer than two images, and of discrete codes no
    picture of what lies between them, nor of a rate by dimension that is a constant.
    There is none of that rate either where it has no part for each dimension, nor of a
    plane at the quantiles of a prior that is not the standard normal.

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
    shown = space.shown
    plots.reconstructions(
        space.images,
        space.decode(shown),
        folder / "reconstructions.png",
        seen=space.seen,
    )
    plots.samples(
        space.decode(space.prior_codes), folder / "samples.png", space.prior_labels
    )
    if space.by_label is not None and space.prior_labels is not None:
        plots.every_label(
            space.images[: len(space.by_label)],
            space.by_label,
            folder / "every_label.png",
            list(dict.fromkeys(space.prior_labels)),
        )
    if space.is_continuous:
        _draw_between(space, folder)
    if space.layer_kl is not None and len(space.layer_kl) > 1:
        layer_plots.kl_per_layer(space.layer_kl, folder / "kl_per_layer.png")
    if space.layers:
        layer_plots.samples(space.layers, folder / "layers.png")
    points, names = space.codes, (f"{space.name}[0]", f"{space.name}[1]")
    if not space.is_continuous or space.codes.shape[1] != 2:
        points = principal_plane(space.codes)
        of = f" of {space.name}" if space.layers else ""
        names = (f"first component{of}", f"second component{of}")
    latent_plots.latent_map(
        points,
        labels,
        folder / "latent_map.png",
        names,
        # An autoencoder has no prior, and others have discrete or learned ones.
        prior_circles=space.kl is not None and space.has_standard_prior,
    )


def _draw_between(space: LatentSpace, folder: pathlib.Path) -> None:
    """What lies between codes and along their dimensions."""
    pairs = min(ROWS, len(space.shown) // 2)
    if pairs:  # a single image has no other to go to
        lines = space.lines(pairs, STEPS)
        latent_plots.interpolations(
            space.decode_grid(lines),
            folder / "interpolations.png",
            holds_label=space.num_held > 0,
        )
    _draw_traversals(space, folder)
    if (kl := space.kl_by_dimension) is not None:
        is_one = len(kl) == space.codes.shape[1]  # of the layers in a row
        latent_plots.kl_per_dimension(
            kl,
            folder / "kl_per_dimension.png",
            space.name if space.layers and is_one else "",
        )
    is_plane = space.codes.shape[1] == 2 and space.shown.shape[1] == 2
    if is_plane and space.has_standard_prior:
        latent_plots.latent_grid(
            space.decode_grid(prior_grid()), folder / "latent_grid.png"
        )


def _draw_traversals(space: LatentSpace, folder: pathlib.Path) -> None:
    """Walks along the busiest dimensions from the code of the first image."""
    busyness = space.kl_by_dimension
    if busyness is None:
        busyness = space.codes.std(axis=0)
    busiest = np.argsort(-busyness)[:ROWS]
    # An autoencoder's scale is its own; a VAE's is that of the prior.
    reach = 3 * (busyness if space.kl is None else np.ones_like(busyness))
    walks = np.tile(space.shown[0], (len(busiest), STEPS, 1))
    for row, d in enumerate(busiest):
        walks[row, :, d] = np.linspace(-reach[d], reach[d], STEPS)
    name = space.name if len(busyness) == space.codes.shape[1] else "z"
    titles = [f"{name}[{d}]" for d in busiest]
    latent_plots.traversals(space.decode_grid(walks), titles, folder / "traversals.png")
