"""XYSquares: three squares whose moves a reconstruction loss can't order.

Source of the data: Michlo et al. 2022, arXiv:2202.13341, re-rendered (docs/data.md).
The model is that of configs/disentanglement/dsprites.py. On these images VAEs fail by
design: the metrics of disentanglement and the numbers about continuity must say so.

Command: `python -m experiments.train --config=configs/disentanglement/xysquares.py
--workdir=DIR`
Run time: 15 to 21 steps per second of processor time, so that the training takes 12 to
17 minutes of one core.
Expected with seed 0: ELBO -33.9, of which distortion 5.0 nats, while the metrics of
disentanglement are those of noise: MIG 0.02, modularity 0.67; and paths between codes
are nearly five times too long (docs/results.md).
"""

from ml_collections import ConfigDict

from configs.disentanglement import dsprites


def get_config() -> ConfigDict:
    """The same on 253,000 images in colour, with the numbers about continuity."""
    config = dsprites.get_config()
    config.data.name = "xysquares"
    config.data.validation_fraction = 0.01  # 2,621 images
    config.data.test_fraction = 0.025  # 6,554
    config.eval.measures = ("likelihood", "codes", "regularity", "disentanglement")
    return config
