"""A plain autoencoder on MNIST: `mnist.py` with one part changed.

The encoder gives a point instead of a distribution, so there is nothing to draw and no
KL: it compresses, but its latent space can't be sampled from. Source of the comparison:
docs/lesson.md.

Command: `python -m experiments.train --config=configs/autoencoder.py --workdir=DIR
--config.data.dir=DATA`
Run time: 19 s of training on two CPU cores shared with other work.
Expected: test distortion 60.2 nats, all 20 dimensions in use, no rate, ELBO or NLL;
draws from N(0, I) cover 0.13 of the test images, real ones 0.96 (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """The network of configs/mnist.py with a deterministic code."""
    config = mnist.get_config()
    config.model.posterior = "deterministic"
    return config
