"""5,000 real images of MNIST, binarised anew at each visit; they need no download.

Command: `make train`, or
`python -m experiments.train --config=configs/mnist_5k.py --workdir=DIR`
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The default network, with a larger learning rate and averaged parameters."""
    config = default.get_config()
    config.data.name = "mnist_5k"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.ema_decay = 0.99
    config.train.num_steps = 2_000
    config.train.eval_every = 250
    return config
