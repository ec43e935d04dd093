"""MNIST with the digit given to encoder, prior and decoder.

Source: Sohn et al. 2015, equation 4, with a normal prior for each label. Ten latent
dimensions, fewer than in configs/mnist.py: the codes of a label fill a normal better,
so that draws are more often what was asked for.

Command: `python -m experiments.train --config=configs/conditional.py --workdir=DIR
--config.data.dir=DATA`, and then `python -m experiments.sample --workdir=DIR
--label=3 --out=threes.png`
Run time: 7 minutes of training on two CPU cores shared with much other work.
Expected: NLL of an image given its label 90.0 +- 0.3, below the 95.8 of
configs/mnist.py without labels; label agreement 0.954 +- 0.005, of real images
0.971 (docs/results.md).
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
    config.eval.measures = ("likelihood", "regularity", "conditional")
    return config
