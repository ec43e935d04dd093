"""Static binarised MNIST with a VampPrior: Tomczak and Welling 2018.

Command and protocol: as configs/vampprior/standard.py. Published, test NLL in nats with
5,000 samples: 85.57.
"""

from ml_collections import ConfigDict

from configs.vampprior import standard


def get_config() -> ConfigDict:
    """configs/vampprior/standard.py with 500 pseudo-inputs."""
    config = standard.get_config()
    config.model.prior = "vamp"
    config.vamp.num_components = 500
    return config
