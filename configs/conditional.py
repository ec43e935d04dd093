"""MNIST with the digit given: encoder, prior and decoder of configs/mnist.py see it.

Source: Sohn et al. 2015, equation 4; the network of configs/mnist.py.

Command: `python -m experiments.train --config=configs/conditional.py --workdir=DIR
--config.data.dir=DATA`, and then `python -m experiments.sample --workdir=DIR
--label=3 --out=threes.png`
Run time: TODO
Expected: TODO
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """The MNIST config with a normal prior for each label."""
    config = mnist.get_config()
    config.model.condition = "label"
    config.model.prior = "label_normal"
    config.eval.measures = ("likelihood", "regularity", "conditional")
    return config
