"""The one-layer model of Burda et al. 2016 on a schedule for two CPU cores.

Command: as configs/iwae/one_layer.py. Larger batches, Adam's usual constants, a cosine
to zero and an average of the parameters get further in minutes than a cut of the
original schedule; docs/results.md compares them, and says what half the steps give.
"""

from ml_collections import ConfigDict

from configs.iwae import one_layer


def get_config() -> ConfigDict:
    """200 epochs of batches of 100."""
    config = one_layer.get_config()
    config.data.batch_size = 100
    config.optimizer.schedule = "cosine"
    config.hparams.learning_rate = 2e-3
    config.optimizer.b1 = 0.9
    config.optimizer.eps = 1e-8
    config.optimizer.second_moment = 0.0
    config.optimizer.ema_decay = 0.999
    config.train.num_steps = 200 * 596
    config.train.log_every = 596
    config.train.checkpoint_every = 10 * 596
    return config
