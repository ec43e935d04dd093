"""`mnist.py` with 16 codes of finite scalar quantisation in the place of a normal.

Source of the quantiser: Mentzer et al. 2024, arXiv:2309.15505, whose levels for 2^8
codes are 8, 6 and 5. The network is that of configs/mnist.py, which CPUs train in a
minute. A grid of 7 x 7 codes is `--config.model.network=residual
--config.residual.spatial=True`, for a GPU.

Command: `python -m experiments.train --config=configs/discrete/fsq.py --workdir=DIR
--config.data.dir=DATA`, then `python -m experiments.fit_prior --workdir=DIR
--prior=autoregressive` and `python -m experiments.evaluate --workdir=DIR
--prior=autoregressive`
Run time: 100 s of training on two CPU cores shared with other work.
Expected: all 240 codes in use, perplexity 210; minus ELBO 143.8 with uniform codes and
124.9 with the fitted prior (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """240 codes at each of 16 sites."""
    config = mnist.get_config()
    config.model.posterior = "fsq"
    config.model.prior = "uniform"
    config.fsq.levels = (8, 6, 5)
    config.fsq.num_sites = 16
    config.optimizer.schedule = "cosine"
    config.eval.num_samples = 1  # all draws of a discrete code are one and the same
    config.eval.measures = ("likelihood", "regularity", "codebook")
    return config
