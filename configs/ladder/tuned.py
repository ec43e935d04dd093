"""The ladder of five_layers.py, trained on with an importance-weighted bound.

Source: Sonderby et al. 2016, arXiv:1602.02282, section 4, where the last epochs use
several importance samples; here 23 epochs with five, K of Burda et al. 2016,
arXiv:1509.00519.

Command: `python -m experiments.train --config=configs/ladder/tuned.py --workdir=TUNED
--config.train.init_from=DIR --config.data.dir=DATA` with DIR a finished run of
five_layers.py, then `python -m experiments.evaluate --workdir=TUNED
--num_samples=5000`. With `--config.model.name=hierarchical --config.mlp.norm=none` and
DIR a run of bottom_up.py it tunes that model.
Run time: 6 minutes of training, after 9 of five_layers.py, on two CPU cores.
Expected: NLL 84.12 +- 0.22 with K=5000, ELBO -90.15 (docs/results.md). The paper's full
schedule gives 81.74.
"""

from ml_collections import ConfigDict

from configs.ladder import bottom_up, five_layers


def get_config() -> ConfigDict:
    """23 epochs from a learning rate of 1e-3."""
    config = five_layers.get_config()
    config.hierarchical = bottom_up.get_config().hierarchical
    config.objective.name = "iwae"
    config.objective.num_samples = 5
    config.objective.schedule = "constant"
    config.hparams.warmup_steps = 0
    config.hparams.learning_rate = 1e-3
    config.train.num_steps = 23 * five_layers.STEPS_PER_EPOCH
    return config
