"""Decodes codes from a file, as `experiments.encode` writes them.

    python -m experiments.encode --workdir=runs/mnist --out=codes.csv
    python -m experiments.decode --workdir=runs/mnist --codes=codes.csv --out=images.png

--codes is FILE.npz with the array `mean` [N, D], or with no other array than such a
one, so that codes may also come from a program of your own; or FILE.csv or FILE.parquet
with columns `mean_0`, `mean_1`, .... D is as `experiments.encode` prints it.

A .png shows the means of p(x | z) row by row. An .npz holds them as `mean`
[N, H, W, C], with `files`, `rows` and `labels` as far as the file of codes has them.

A conditional run decodes each code with its label in the file, or all of them with
--label=3, or with --label=0,1,2 in turn. With model.name=m2 such a label takes the
place of the class in a code.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError, DataError

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_CODES = cli.define_path("codes", None, "File of codes: .npz, .csv or .parquet.")
_LABEL = flags.DEFINE_list(
    "label", None, "Labels to decode with, in turn; default: those beside the codes."
)
_OUT = cli.define_path("out", None, "File to write: FILE.png or FILE.npz.")


def main() -> None:
    """Decodes and writes."""
    cli.required(workdir=_WORKDIR.value, codes=_CODES.value, out=_OUT.value)
    from vae_jax.files import writing
    from vae_jax.report import plots
    from vae_jax.runs import decoded, opened
    from vae_jax.runs.asked_labels import class_numbers, whole_numbers
    from vae_jax.storage.code_files import check_path, read_codes
    from vae_jax.storage.records import write_arrays
    from vae_jax.suitability import check_picture

    out, file = _OUT.value, _CODES.value
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out={out}: must end in .png or .npz")
    check_path("--codes", file)
    cli.check_apart(out, "--codes", file)
    asked = None if _LABEL.value is None else whole_numbers(_LABEL.value, "--label")
    run = opened.open_run(_WORKDIR.value)
    check_picture(out, run.spec)
    codes = read_codes(file)
    size, found = decoded.row_size(run.layer), codes["mean"].shape[1]
    if found != size:
        raise DataError(
            f"{file}: codes have {found} numbers, but those of {run.workdir} {size}"
        )
    if asked is None and run.trained.conditions_on is not None:
        if "labels" not in codes:
            raise ConfigError(
                f"--label is missing: {run.workdir} is conditional, and {file} has no"
                " labels"
            )
        asked = codes["labels"].tolist()
        class_numbers(run.labels, asked, f"{file}: labels holds a label")
    images = decoded.means(run.decode, codes["mean"], asked)
    with writing(f"--out={out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".png":
            plots.image_rows(images, out, title="Decoded codes")
        else:
            decoded_rows = run.spec.as_stored(images)
            write_arrays(out, codes | {"mean": decoded_rows})
    print(f"{len(images)} decoded codes in {out}")


if __name__ == "__main__":
    cli.run(main)
