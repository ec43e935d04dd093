"""Log lines about the data, written before training starts."""

from absl import logging
from ml_collections import ConfigDict

from vae_jax.data.batches import binarization_noise
from vae_jax.data.dataset import Dataset
from vae_jax.data.description import describe
from vae_jax.errors import one_line
from vae_jax.runs import processes

# Of the variance of what the model sees. 0.17 on MNIST, 0.33 on scikit-learn's digits,
# 0.40 on Fashion-MNIST, 0.74 on CIFAR-10: above a half most of what there is to learn
# is noise.
MOST_NOISE = 0.5


def announce(config: ConfigDict, dataset: Dataset) -> None:
    """Logs one line on the data set, and a warning if binarisation turns it into noise.

    Args:
        config: config of the run to be trained.
        dataset: its images.
    """
    if not processes.is_first():
        return
    logging.info("%s", describe(dataset))
    if config.data.binarize != "dynamic":
        return
    noise = binarization_noise(dataset.train.images)
    if noise > MOST_NOISE:
        logging.warning(
            "data.binarize=dynamic turns %s into noise: %.0f%% of the variance of"
            " the model's input comes from the draws, not from the images. For grey or"
            " colour images set data.binarize=none and model.likelihood=logistic, or"
            " start from configs/photos.py",
            one_line(dataset.name),
            100 * noise,
        )
