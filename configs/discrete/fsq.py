"""MNIST, binarised anew at each visit, with 7 x 7 codes of 240 levels.

TODO
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """A small residual network, 8 x 6 x 5 levels at each of 49 sites."""
    config = default.get_config()
    config.data.name = "mnist"
    config.model.network = "residual"
    config.model.posterior = "fsq"
    config.model.prior = "uniform"
    config.residual.channels = (16, 32)
    config.residual.num_blocks = 1
    config.residual.spatial = True
    config.fsq.levels = (8, 6, 5)
    config.optimizer.schedule = "cosine"
    config.optimizer.ema_decay = 0.999
    config.hparams.learning_rate = 2e-3
    config.train.num_steps = 5_000
    config.eval.num_samples = 1  # all draws of a discrete code are one
    config.eval.measures = ("likelihood", "regularity", "codebook")
    return config
