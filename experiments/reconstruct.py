"""Encodes and decodes images of your own.

    python -m experiments.reconstruct --workdir=runs/mnist --images=PHOTOS --out=DIR

--images is a folder of PNG, JPEG, WebP, BMP or TIFF files or one of them; images are
cut, resized and turned grey as the model needs. Or it is a FILE.npz whose array
`x_test`, or only array, has the shape that the model was trained on; for a conditional
run it also holds the labels `y_test`.

Writes DIR/reconstructions.png (originals above, reconstructions below; between them
what the model saw, where images are binarised or get noise) and DIR/reconstructions.npz
with `x` the model's input, `mean` its reconstruction, `code` and `std` the mean and
standard deviation of q(z | x) as `experiments.encode` gives them, and `files`, the
paths below the folder.
"""

from experiments import cli
from vae_jax.errors import one_line

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_IMAGES = cli.define_path(
    "images", None, "Folder of images, one image, or FILE.npz with images."
)
_OUT = cli.define_path("out", None, "Folder for the results; made if missing.")


def main() -> None:
    """Reconstructs the images and writes the results."""
    cli.required(workdir=_WORKDIR.value, images=_IMAGES.value, out=_OUT.value)
    from vae_jax.data.dataset import to_unit_floats
    from vae_jax.files import writing
    from vae_jax.report import plots
    from vae_jax.runs import opened, own_images
    from vae_jax.storage.records import write_arrays

    run = opened.open_run(_WORKDIR.value)
    own = own_images.read_images(run, _IMAGES.value)
    result = run.reconstruct(own.examples)
    files = {} if own.files is None else {"files": own.files}
    out = _OUT.value
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        rows = {name: run.spec.as_stored(result[name]) for name in ("x", "mean")}
        arrays = {**result, **rows, **files}
        write_arrays(out / "reconstructions.npz", arrays)
        why_not = run.spec.why_no_pictures
        if not why_not:
            shown = slice(0, 16)
            plots.reconstructions(
                to_unit_floats(own.images[shown]),
                result["mean"][shown],
                out / "reconstructions.png",
                seen=result["x"][shown],
            )
    parts = [f"{len(result['x'])} reconstructions in {out}", *own.notes]
    if why_not:
        parts.append(f"no figure: {why_not}")
    print(one_line("; ".join(parts)))


if __name__ == "__main__":
    cli.run(main)
