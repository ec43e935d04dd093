"""MNIST with two stochastic layers: table 1 of Burda et al. 2016, lower half.

Command: as configs/iwae/one_layer.py, whose protocol it shares. Published, test NLL in
nats with K=5000: VAE 85.33, IWAE 83.89 (K=5), 82.90 (K=50).
"""

from ml_collections import ConfigDict

from configs.iwae import one_layer


def get_config() -> ConfigDict:
    """q: 784-200-200-100 and 100-100-100-50; p the other way round."""
    config = one_layer.get_config()
    config.model.latent_dim = 100
    config.model.upper_latent_dims = (50,)
    config.model.upper_hidden_dims = (100, 100)
    return config
