"""Writes the posterior of every image of a split, or of images of your own.

    python -m experiments.encode --workdir=runs/mnist --split=test --out=codes.npz
    python -m experiments.encode --workdir=runs/mnist --images=PHOTOS --out=codes.csv
    python -m experiments.encode --workdir=runs/mnist --split=all --out=codes.npz

FILE.npz holds, a row for each image:

- `mean` and `std` [N, D] of q(z | x), of the layer next to the data; if the decoder
  needs all layers, of each of them, given one draw of those above, side by side;
- `index` [N, S] of discrete codes: the number of the code at each of S sites;
- `rows` [N]: where the image stands in its split of the source: in `x_SPLIT` of an npz
  file, in the split of a TFDS set, or in the sorted files of a folder. A split that the
  source does not have was drawn from its training images, so that `rows` counts those;
- `labels` [N], and `factors` [N, F] of variation with `factor_names`, where the data
  have them;
- `files` [N], paths below the folder, where the images are files; and `class_names`, by
  label, where sub-folders are classes.

FILE.csv and FILE.parquet are the same as a table with the columns `file`, `row`,
`label`, `class_name`, `factor_NAME`, `index_0`, ..., `mean_0`, ... and `std_0`, ..., as
far as they are known. Parquet needs the package pyarrow, pip install 'vae_jax[tables]'.

With --split=all, FILE.npz is a data set for another run, data.name=npz:FILE.npz: rows
of real numbers `x_train`, `x_validation` and `x_test`, the means of q(z | x), with the
run's own splits, labels `y_train`, ... and factors of variation. Images that the run
binarises anew at each visit are encoded as their grey values, the mean of all draws.

--images is a folder, an image or an npz file, see `experiments.reconstruct`. A
conditional run is given the labels of the data, or those of the npz file.
`experiments.decode` is the way back.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError, one_line
from vae_jax.paths import local_path

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test", "all"], "Which images."
)
_IMAGES = cli.define_path(
    "images", None, "In place of a split: folder of images, one image, or FILE.npz."
)
_OUT = cli.define_path("out", None, "FILE.npz, FILE.csv or FILE.parquet.")
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")


def main() -> None:
    """Encodes and writes."""
    cli.required(workdir=_WORKDIR.value, out=_OUT.value)
    from vae_jax.data import sources
    from vae_jax.data.description import counted
    from vae_jax.files import writing
    from vae_jax.runs import opened
    from vae_jax.runs.codes import codes_as_data, codes_of_images, codes_of_split
    from vae_jax.storage.code_files import check_path, write_codes

    out = _OUT.value
    check_path("--out", out)
    as_data = _SPLIT.value == "all" and not _IMAGES.value
    if as_data and out.suffix != ".npz":
        raise ConfigError(f"--out={out}: must end in .npz with --split=all")
    for flag in (_SPLIT, _DATA_DIR):
        if _IMAGES.value and flag.present:
            raise ConfigError(f"--{flag.name}={flag.value} has no effect with --images")
    cli.check_apart(out, "--images", _IMAGES.value or "")
    run = opened.open_run(_WORKDIR.value)
    data = run.config.data.name
    if _DATA_DIR.value:
        data = sources.moved(data, _DATA_DIR.value)
    path = local_path(data.partition(":")[2])
    cli.check_apart(out, f"the data of {run.workdir}", path)
    if _IMAGES.value:
        codes, notes = codes_of_images(run, _IMAGES.value)
    elif as_data:
        codes, notes = codes_as_data(run, _DATA_DIR.value), ()
    else:
        codes, notes = codes_of_split(run, _SPLIT.value, _DATA_DIR.value), ()
    rows = [codes[name] for name in codes if name == "mean" or name[:2] == "x_"]
    with writing(f"--out={out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_codes(out, codes)
    num, size = sum(map(len, rows)), rows[0].shape[1]
    dimensions = counted(size, "dimension", "dimensions")
    line = f"{counted(num, 'code', 'codes')} of {dimensions} in {out}"
    print(one_line("; ".join([line, *notes])))


if __name__ == "__main__":
    cli.run(main)
