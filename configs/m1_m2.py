from ml_collections import ConfigDict

from configs import semi_supervised


def get_config() -> ConfigDict:
    config = semi_supervised.get_config()
    config.data.name = "npz:codes.npz"
    config.data.binarize = "none"
    config.model.likelihood = "normal"
    config.eval.figures = False
    config.eval.measures = ("likelihood", "classification")
    return config
