"""Builds the local copy of an image set that the other programs read.

MNIST, Fashion-MNIST and binarised MNIST from their original files, without network and
without TensorFlow, in about 10 seconds (the files are compared with the sha256 that
TFDS records):

    python -m experiments.prepare_data --dataset=mnist --raw_dir=DIR

where DIR holds, as downloaded (the .amat files plain or with .gz added):

    mnist, fashion_mnist   train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
                           t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz
    binarized_mnist        binarized_mnist_train.amat, ..._valid.amat, ..._test.amat

Any image set of TFDS, by its own download and recipe (needs TensorFlow, once):

    python -m experiments.prepare_data --dataset=cifar10

A set that is already there is left alone. An interrupted build leaves no set.
"""

from absl import flags

from experiments import cli
from vae_jax.data import prepare

_DATASET = flags.DEFINE_string(
    "dataset", "", "Name of a TFDS image set: mnist, fashion_mnist, ..."
)
_RAW_DIR = flags.DEFINE_string(
    "raw_dir", None, "Folder with the original files; without it TFDS downloads."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where to write; TFDS_DATA_DIR or ~/tensorflow_datasets if unset."
)
_TIMEOUT_S = flags.DEFINE_float(
    "timeout_s", 3600.0, "Limit for TFDS's download and build, in seconds.", 1.0
)


def main() -> None:
    """Builds one set and says where it is."""
    cli.required(dataset=_DATASET.value)
    print(
        prepare.prepare(
            _DATASET.value,
            data_dir=_DATA_DIR.value,
            raw_dir=_RAW_DIR.value,
            timeout_s=_TIMEOUT_S.value,
        )
    )


if __name__ == "__main__":
    cli.run(main)
