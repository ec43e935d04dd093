r"""Decodes the codes between images of your own.

    python -m experiments.interpolate --workdir=runs/mnist --images=A.png,B.png \
        --out=between.png

--images are two images or more, separated by commas, or a folder of them, or a FILE.npz
as `experiments.reconstruct` takes it, with labels for a conditional run. From the code
of each image, the mean of q(z | x), it goes to the code of the next in --steps images,
both ends among them, which are the images' reconstructions. A conditional run keeps the
label of the first of two, so that there only the first end is one.

--path=linear goes straight, as the figures and the measures of a run do.
--path=spherical turns around the origin: between two draws of a standard normal prior
with many dimensions it stays as far from the origin as such draws are. Codes of images
are closer to it, and there the two look much alike.

A .png has a row for each pair. An .npz holds `mean` [N - 1, T, H, W, C] of p(x | z),
`points` [N, D], the codes of the images, and `files`, where the images are such.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError, DataError, one_line
from vae_jax.paths import local_path

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_IMAGES = flags.DEFINE_list(
    "images", None, "Two images or more, a folder of them, or FILE.npz."
)
_STEPS = flags.DEFINE_integer("steps", 10, "Images from one code to the next.")
_PATH = flags.DEFINE_enum(
    "path", "linear", ["linear", "spherical"], "The way between two codes."
)
_OUT = cli.define_path("out", None, "File to write: FILE.png or FILE.npz.")


def main() -> None:
    """Encodes the images, decodes what lies between them, and writes it."""
    images = _IMAGES.value and ",".join(_IMAGES.value)
    cli.required(workdir=_WORKDIR.value, images=images, out=_OUT.value)
    out = _OUT.value
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out={out}: must end in .png or .npz")
    if _STEPS.value < 2:
        raise ConfigError(f"--steps={_STEPS.value}: must be at least 2")
    paths = [local_path(path) for path in _IMAGES.value]
    for path in paths:
        cli.check_apart(out, "--images", path)
    import numpy as np

    from vae_jax.files import writing
    from vae_jax.report import latent_plots
    from vae_jax.runs import opened
    from vae_jax.runs.memory import check_samples
    from vae_jax.runs.own_images import read_images
    from vae_jax.storage.records import write_arrays
    from vae_jax.suitability import check_picture

    run = opened.open_run(_WORKDIR.value)
    check_picture(out, run.spec)
    read = [read_images(run, path) for path in paths]
    points = np.concatenate([run.points(own.examples) for own in read])
    if len(points) < 2:
        raise DataError(f"--images={images}: one image; there must be two or more")
    num = (len(points) - 1) * _STEPS.value
    name = f"--steps={_STEPS.value} between {len(points)} images"
    check_samples(points.shape[1], run.spec, name, num)
    between = run.interpolate(points, _STEPS.value, _PATH.value)
    with writing(f"--out={out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".png":
            holds_label = run.layer.is_conditional
            latent_plots.interpolations(between, out, holds_label=holds_label)
        else:
            files = [own.files for own in read if own.files is not None]
            known = {"files": np.concatenate(files)} if len(files) == len(read) else {}
            mean = run.spec.as_stored(between)
            write_arrays(out, {"mean": mean, "points": points, **known})
    notes = [note for own in read for note in own.notes]
    line = f"{len(between)} x {_STEPS.value} images in {out}"
    print(one_line("; ".join([line, *notes])))


if __name__ == "__main__":
    cli.run(main)
