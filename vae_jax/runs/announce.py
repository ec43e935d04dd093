"""Log lines about the data and an unused GPU, written before training starts."""

import importlib.util
import os
import pathlib
import shutil

import jax
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

# What a machine has whose NVIDIA driver is installed, and JAX's packages for it.
DRIVER = pathlib.Path("/proc/driver/nvidia/version")
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")


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


def announce_unused_gpu() -> None:
    """Logs a warning if this machine has a GPU that JAX has no packages for."""
    if not processes.is_first():
        return
    line = unused_gpu(
        platform=jax.default_backend(),
        has_driver=DRIVER.is_file() or shutil.which("nvidia-smi") is not None,
        has_plugin=any(importlib.util.find_spec(name) for name in CUDA_PLUGINS),
        chosen=os.environ.get("JAX_PLATFORMS", ""),
    )
    if line:
        logging.warning("%s", line)


def unused_gpu(
    *, platform: str, has_driver: bool, has_plugin: bool, chosen: str
) -> str | None:
    """What to install where there is a GPU that JAX has no packages for.

    Args:
        platform: what JAX runs on: "cpu", "gpu" or "tpu".
        has_driver: whether the NVIDIA driver is installed.
        has_plugin: whether a CUDA plugin of JAX is installed.
        chosen: value of JAX_PLATFORMS; who sets it wants no advice.

    Returns:
        One line, or None if nothing is amiss.
    """
    if platform != "cpu" or not has_driver or has_plugin or chosen:
        return None
    return (
        "this machine has an NVIDIA driver, but JAX has no CUDA packages and runs on"
        " the CPU: pip install 'jax[cuda12]', or 'jax[cuda13]' for a driver from 580 on"
    )
