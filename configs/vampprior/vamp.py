"""Static binarised MNIST with a VampPrior: Tomczak and Welling 2018.

Source and protocol: those of configs/vampprior/standard.py.

Command: `python -m experiments.train --config=configs/vampprior/vamp.py --workdir=DIR
--config.data.dir=DATA`, then `python -m experiments.evaluate --workdir=DIR
--num_samples=5000`. Published, test NLL in nats with 5,000 samples: 85.57.
Run time: 269 s of training on two CPU cores for the 30 epochs of docs/results.md, of up
to 2,000.
Expected after those: 87.57 +- 0.23.
"""

from ml_collections import ConfigDict

from configs.vampprior import standard


def get_config() -> ConfigDict:
    """configs/vampprior/standard.py with 500 pseudo-inputs."""
    config = standard.get_config()
    config.model.prior = "vamp"
    config.vamp.num_components = 500
    return config
