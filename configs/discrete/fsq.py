"""MNIST, binarised anew at each visit, as 7 x 7 codes of finite scalar quantisation.

Source of the quantiser: Mentzer et al. 2024, arXiv:2309.15505, whose levels for 2^8
codes are 8, 6 and 5. The network is our own, a size for CPUs.

Command: `python -m experiments.train --config=configs/discrete/fsq.py --workdir=DIR
--config.data.dir=DATA`
Run time: not measured in full; 300 steps took 88 s with twice the blocks on two CPU
cores shared with three other programs.
Expected: every code in use. The rate is a constant, 49 log 240 = 268.6 nats, as long as
the prior knows nothing of the codes.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """A small residual network; 12 epochs."""
    config = default.get_config()
    config.data.name = "mnist"
    config.model.network = "residual"
    config.model.posterior = "fsq"
    config.model.prior = "uniform"
    config.residual.channels = (16, 32)
    config.residual.num_blocks = (0, 1)
    config.residual.spatial = True
    config.fsq.levels = (8, 6, 5)
    config.hparams.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.train.num_steps = 5_000
    config.eval.num_samples = 1  # all draws of a discrete code are one and the same
    config.eval.measures = ("likelihood", "regularity", "codebook")
    return config
