"""MNIST with the digit given to encoder, prior and decoder.

Source: Sohn et al. 2015, equation 4, with a normal prior for each label. Ten latent
dimensions, fewer than in configs/mnist.py: the codes of a label fill a normal better,
so that draws are more often what was asked for.

Command: `python -m experiments.train --config=configs/conditional.py --workdir=DIR
--config.data.dir=DATA`, and then `python -m experiments.sample --workdir=DIR
--label=3 --out=threes.png`
Run time: TODO
Expected: TODO
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """The MNIST config with two layers of 512 units and a condition."""
    config = mnist.get_config()
    config.model.condition = "label"
    config.model.prior = "label_normal"
    config.model.latent_dim = 10
    config.mlp.hidden_dims = (512, 512)
    config.optimizer.schedule = "cosine"
    config.eval.measures = ("likelihood", "regularity", "conditional")
    return config
