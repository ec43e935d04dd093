"""Two latent layers encoded from the bottom up, on the schedule of the ladder.

Source of the model: Burda et al. 2016, arXiv:1509.00519, with the widths of
configs/ladder/five_layers.py, whose data and schedule these are, but for half the
learning rate and no normalisation: with batch normalisation and 2e-3 its rate grew to
millions of nats.

Command: `python -m experiments.train --config=configs/ladder/bottom_up.py
--workdir=DIR --config.data.dir=DATA`, then configs/ladder/tuned.py.
Expected: ELBO -89.28, NLL 85.27 with K=100, and 84.75 after ten epochs of
configs/ladder/tuned.py (docs/results.md).
"""

from ml_collections import ConfigDict

from configs.ladder import five_layers


def get_config() -> ConfigDict:
    """q(z1 | x) q(z2 | z1) with 64 and 32 dimensions."""
    config = five_layers.get_config()
    config.model.name = "hierarchical"
    config.hierarchical.latent_dims = (32,)
    config.hierarchical.hidden_dims = (256, 256)
    config.mlp.norm = "none"
    config.hparams.learning_rate = 1e-3
    return config
