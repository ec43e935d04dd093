"""Fashion-MNIST in grey: convolutions and the continuous Bernoulli likelihood.

Command: `python -m experiments.train --config=configs/fashion_mnist.py --workdir=DIR
--config.data.dir=DATA`
Likelihood: Loaiza-Ganem and Cunningham 2019. Run time and results: docs/results.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Two strided convolutions on each side, 20 latent dimensions."""
    config = default.get_config()
    config.data.name = "fashion_mnist"
    config.data.binarize = "none"
    config.model.network = "conv"
    config.model.channels = (16, 32)
    config.model.latent_dim = 20
    config.model.likelihood = "continuous_bernoulli"
    config.train.num_steps = 3_000
    return config
