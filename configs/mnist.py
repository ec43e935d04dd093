"""MNIST, binarised anew at each visit, with the usual 784-400-20 network.

Source: Kingma and Welling 2014, arXiv:1312.6114; one hidden layer, 400 units as in most
re-implementations.

Command: `python -m experiments.train --config=configs/mnist.py --workdir=DIR
--config.data.dir=DATA`
Run time: 24 s of training on two CPU cores shared with other work.
Expected: test ELBO -100.5, rate 27.0, NLL 95.8 +- 0.3, all 20 dimensions in use
(docs/results.md).
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
