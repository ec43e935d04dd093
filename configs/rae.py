"""A regularised autoencoder on MNIST: `autoencoder.py` with a smooth decoder.

Source: Ghosh et al. 2020, arXiv:1903.12436 ("RAE-GP"). Codes are held near the origin,
and the slope of the decoder is part of the loss. To draw from it, fit a density to its
codes: `python -m experiments.fit_prior --workdir=DIR --prior=gmm`.

Command: `python -m experiments.train --config=configs/rae.py --workdir=DIR
--config.data.dir=DATA`
Run time: 205 s of training on two CPU cores shared with other work.
Expected: test distortion 61.2 nats; coverage 0.25 of draws from N(0, I), 0.87 of draws
from ten normals fitted to the codes (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import autoencoder


def get_config() -> ConfigDict:
    """The network of configs/mnist.py, with penalties in the place of noise."""
    config = autoencoder.get_config()
    config.model.name = "rae"
    config.objective.name = "regularized"
    config.hparams.kl_weight = 0.0
    config.hparams.code_weight = 0.1
    config.hparams.gradient_weight = 0.1
    return config
