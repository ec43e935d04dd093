r"""Writes a page in which one walks through the latent spaces of finished runs.

    python -m experiments.explore --workdir=runs/mnist
    python -m experiments.explore --workdir=runs/autoencoder --workdir=runs/kl \
        --out=explorer.html

The page is one HTML file of at most 4 MB that needs no server and no network. It has a
map of the codes of held-out images, coloured by label; a cross that is dragged over it,
or moved by keys; the image that is decoded there, beside the held-out image whose code
is nearest; sliders for more than two dimensions; and switches between runs and, for
conditional models, between labels. The workdir of a grid stands for all its members.
All runs must have been trained on the same images.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError
from vae_jax.files import writing
from vae_jax.paths import local_path

_WORKDIRS = flags.DEFINE_multi_string(
    "workdir", [], "Folder of a finished run or grid; may be given several times."
)
_OUT = cli.define_path(
    "out", None, "FILE.html; default: explorer.html in the first --workdir."
)
_TITLE = flags.DEFINE_string(
    "title", None, "Title of the page; default: names of the workdirs."
)
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")


def main() -> None:
    """Decodes and writes."""
    workdirs = [local_path(folder) for folder in _WORKDIRS.value]
    if not workdirs:
        raise ConfigError("--workdir is missing")
    out = _OUT.value or workdirs[0] / "explorer.html"
    if out.suffix != ".html":
        raise ConfigError(f"--out={out}: must end in .html")
    from vae_jax.runs.exploration import explore  # matplotlib is slow to import

    title = _TITLE.value or ", ".join(folder.resolve().name for folder in workdirs)
    if _OUT.value:
        with writing(f"--out={out}"):
            out.parent.mkdir(parents=True, exist_ok=True)
    count, size = explore(workdirs, out, title=title, data_dir=_DATA_DIR.value)
    runs = "1 run" if count == 1 else f"{count} runs"
    print(f"explorer of {runs}, {size / 1e6:.1f} MB: {out}")


if __name__ == "__main__":
    cli.run(main)
