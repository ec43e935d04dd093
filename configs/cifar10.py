"""CIFAR-10 in colour: convolutions and a discretised logistic per 8-bit value.

Source of the likelihood: Kingma et al. 2016, arXiv:1606.04934, section 5.2.

Command: `python -m experiments.train --config=configs/cifar10.py --workdir=DIR
--config.data.dir=DATA`
Run time: 35 s of training for 500 steps on 10,000 of the images, on two CPU cores
shared with other work; the config has 3,000 steps.
Expected after those 500: 6.76 bits per dimension (NLL 14386 +- 29 nats), all 64
dimensions in use (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Three strided convolutions on each side, 64 latent dimensions."""
    config = default.get_config()
    config.data.name = "cifar10"
    config.data.binarize = "none"
    config.model.network = "conv"
    config.conv.channels = (32, 64, 128)
    config.model.latent_dim = 64
    config.model.likelihood = "logistic"
    config.optimizer.clip_norm = 1_000.0
    config.train.num_steps = 3_000
    return config
