"""A plain autoencoder on MNIST: `mnist.py` with one part changed.

Command: `python -m experiments.train --config=configs/autoencoder.py --workdir=DIR
--config.data.dir=DATA`
The encoder gives a point instead of a distribution, so there is nothing to draw and no
KL: it compresses, but its latent space can't be sampled from. Run time and results:
docs/results.md.
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """The network of configs/mnist.py with a deterministic code."""
    config = mnist.get_config()
    config.model.posterior = "deterministic"
    return config
