"""Builds the local copy of an image set that the other programs read.

Downloads the original files of mnist, fashion_mnist, kmnist, emnist/CONFIG,
binarized_mnist, cifar10, svhn_cropped or omniglot and builds the set that TensorFlow
Datasets (TFDS) would build, without TensorFlow (docs/data.md has sizes and sources):

    python -m experiments.prepare_data --dataset=mnist --data_dir=DATA

Started again, it resumes an interrupted download. Files are compared with the
sha256 that TFDS records. Those that lie in RAW already are not downloaded:

    python -m experiments.prepare_data --dataset=mnist --data_dir=DATA --raw_dir=RAW

Any other image set of TFDS, by its own download and recipe (needs TensorFlow, once):

    python -m experiments.prepare_data --dataset=cifar100 --data_dir=DATA

A set that is already there is left alone. An interrupted build leaves no set.
"""

from absl import flags

from experiments import cli

_DATASET = flags.DEFINE_string(
    "dataset", "", "Name of a TFDS image set: mnist, emnist/letters, ..."
)
_RAW_DIR = flags.DEFINE_string(
    "raw_dir", None, "Folder that is searched first for the original files."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder to write to; by default TFDS_DATA_DIR or ~/tensorflow_datasets.",
)
_TIMEOUT_S = flags.DEFINE_float(
    "timeout_s", 3600.0, "Time limit for download and build by TFDS, seconds.", 1.0
)


def main() -> None:
    """Builds one set and says where it is."""
    cli.required(dataset=_DATASET.value)
    from vae_jax.data import prepare

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
