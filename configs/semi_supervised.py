from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.data.name = "mnist"
    config.data.num_labelled = 100
    config.data.batch_size = 200
    config.data.labelled_batch_size = 100
    config.model.name = "m2"
    config.model.activation = "softplus"
    config.model.latent_dim = 50
    config.mlp.hidden_dims = (500,)
    config.objective.name = "semi_supervised"
    config.hparams.classification_weight = 50.0
    config.hparams.learning_rate = 1e-3
    config.train.num_steps = 10_000
    config.eval.measures = ("likelihood",)
    config.eval.figures = False
    return config
