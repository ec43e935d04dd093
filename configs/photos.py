"""Colour photographs of your own: convolutions and a distribution over 8-bit values.

A discretised logistic models the 256 values of a pixel, so nothing is binarised.
Source: Kingma et al. 2016, arXiv:1606.04934, section 5.2.

Command: `python -m experiments.train --config=configs/photos.py --workdir=DIR
--config.data.name=folder:DIR --config.data.image_size=64`
Run time: 91 s of training on two CPU cores shared with other work, for 3,000 CIFAR-10
images as PNG files with `--config.data.image_size=32 --config.train.num_steps=1000`; at
64x64 a step takes at least four times as long.
Expected of that run: 6.94 bits per dimension on the test split, all 64 dimensions in
use; reconstructions have the right colours and large shapes and no detail. How many
images, which size: docs/images.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Four strided convolutions on each side, 64 latent dimensions."""
    config = default.get_config()
    config.data.name = "folder:photos"
    config.data.binarize = "none"
    config.data.batch_size = 32
    config.data.image_size = 64
    config.model.network = "conv"
    config.conv.channels = (32, 64, 128, 128)
    config.model.latent_dim = 64
    config.model.likelihood = "logistic"
    config.optimizer.clip_norm = 1_000.0
    config.train.num_steps = 2_000
    config.eval.num_samples = 20  # of the NLL, for which 100 take minutes
    return config
