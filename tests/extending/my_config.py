"""All parts of my_parts.py in one config.

Command: `python -m experiments.train --import=my_parts --config=my_config.py
--workdir=DIR`
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Seconds on two CPU cores."""
    config = default.get_config()
    with config.unlocked():
        config.hparams.push = 1.0  # traced: swept in one program
        config.sine = ConfigDict({"width": 16})
        config.noisy = ConfigDict({"flipped": 0.05})
    config.data.name = "stripes"
    config.data.batch_size = 20
    config.model.network = "sine"
    config.model.likelihood = "noisy"
    config.model.posterior = "laplace_code"
    config.model.prior = "logistic_code"
    config.model.latent_dim = 3
    config.objective.name = "deceive"
    config.train.num_steps = 40
    config.train.log_every = 10
    config.train.eval_every = 20
    config.train.checkpoint_every = 20
    config.eval.num_samples = 5
    config.eval.measures = ("likelihood", "codes", "regularity", "brightness")
    return config
