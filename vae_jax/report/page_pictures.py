"""The pictures of a report: of each kind a strip, with one of every setting."""

import pathlib
from collections.abc import Mapping, Sequence

from PIL import Image

from vae_jax.errors import DataError
from vae_jax.report.compare import FAILED, Setting
from vae_jax.report.html import data_uri

# Figures of a run that the report shows, in this order: file -> title of the strip.
KINDS = {
    "samples": "Samples from the prior",
    "reconstructions": "Reconstructions",
    "every_label": "Decoded with every label",
    "interpolations": "Interpolations",
    "latent_map": "Latent map",
    "latent_grid": "Decoded latent space",
}
MAX_SHOWN = 12  # settings in a strip
WIDTH = 640  # pixels: sharp at the 320 points that a phone gives an enlarged one


def strips(
    groups: Sequence[Setting],
    names: Mapping[Setting, str],
    folders: Mapping[str, pathlib.Path],
) -> list[tuple[str, list[tuple[str, str]]]]:
    """The pictures that there are, of the first seed of each setting that finished.

    Args:
        groups: the settings that are shown.
        names: name of each setting.
        folders: folder of each run by its name; its figures/*.png are shown.

    Returns:
        A strip for each kind that some run has, in the order of `KINDS`: its title, and
        the name of a setting with its picture as text.

    Raises:
        DataError: a figure is damaged.
    """
    found = []
    for kind, title in KINDS.items():
        pictures = []
        for group in groups:
            for row in group.finished[:1]:
                path = folders[str(row["name"])] / "figures" / f"{kind}.png"
                if path.is_file():
                    pictures.append((names[group], _data_uri(path)))
        if pictures:
            found.append((title, pictures))
    return found


def failures(groups: Sequence[Setting]) -> list[str]:
    """A sentence for each run that failed."""
    return [
        f"{row['name']} failed at step {row[FAILED]}: its loss was not finite."
        for group in groups
        for row in group.rows
        if row.get(FAILED) is not None
    ]


def _data_uri(path: pathlib.Path) -> str:
    """A smaller copy of an image, which may lose details, as text."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except OSError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    image.thumbnail((WIDTH, 2 * WIDTH), Image.Resampling.LANCZOS, reducing_gap=2)
    return data_uri(image, quality=80)
