"""5,000 images of MNIST."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.data.name = "mnist_5k"
    config.model.hidden_dims = (256,)
    config.model.latent_dim = 16
    config.train.num_steps = 3_000
    config.train.eval_every = 250
    return config
