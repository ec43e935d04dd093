"""MNIST, binarised anew at each visit, with the usual 784-400-20 network.

Command: `python -m experiments.train --config=configs/mnist.py --workdir=DIR
--config.data.dir=DATA`
The network is that of Kingma and Welling 2014 (one hidden layer, 400 units in most
re-implementations). Run time and results: docs/results.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """One hidden layer of 400 units on each side, 20 latent dimensions."""
    config = default.get_config()
    config.data.name = "mnist"
    config.mlp.hidden_dims = (400,)
    config.model.activation = "relu"
    config.model.latent_dim = 20
    config.train.num_steps = 10_000
    return config
