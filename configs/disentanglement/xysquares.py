"""XYSquares: three squares whose moves a reconstruction loss can't order.

Source of the data: Michlo et al. 2022, arXiv:2202.13341, re-rendered (docs/data.md).
The model is that of configs/disentanglement/dsprites.py. On these images VAEs fail by
design: the metrics of disentanglement and the numbers about continuity must say so.

Command: `python -m experiments.train --config=configs/disentanglement/xysquares.py
--workdir=DIR`
Run time: 21 steps per second of processor time, so that the training takes 12 minutes
of one core.
Expected with seed 0: validation ELBO -1002.5 after 200 steps, -792.6 after 350, -660.4
with a rate of 25.9 after 650. The whole schedule was not run.
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
