"""MNIST with two stochastic layers: table 1 of Burda et al. 2016, lower half.

Source and protocol: those of configs/iwae/one_layer.py.

Command: `python -m experiments.train --config=configs/iwae/two_layers.py --workdir=DIR
--config.data.dir=DATA`, and for IWAE as configs/iwae/one_layer.py.
Run time: not measured; the schedule takes 9.8 million steps.
Expected: published, test NLL in nats with K=5000: VAE 85.33, IWAE 83.89 (K=5), 82.90
(K=50). We have not run the whole schedule. With that of configs/iwae/cpu.py, 200 epochs
and a KL weight that rises in 50 of them, 88.50 +- 0.23 with K=1 (docs/results.md).
"""

from ml_collections import ConfigDict

from configs.iwae import one_layer


def get_config() -> ConfigDict:
    """q: 784-200-200-100 and 100-100-100-50; p the other way round."""
    config = one_layer.get_config()
    config.model.latent_dim = 100
    config.model.name = "hierarchical"
    config.hierarchical.latent_dims = (50,)
    config.hierarchical.hidden_dims = (100, 100)
    return config
