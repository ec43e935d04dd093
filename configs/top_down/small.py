"""A small convolutional top-down model of binarised MNIST, for two CPU cores.

Four latent layers of 4 channels, one of a single site and three of 7x7 sites: 592
numbers in all. Source of the model: Child 2021, arXiv:2011.10650;
sizes and schedule are our own.

Command: `python -m experiments.train --config=configs/top_down/small.py --workdir=DIR
--config.data.dir=DATA`
Run time: 15 minutes of training on two CPU cores shared with other work.
Expected: after the first epoch a validation ELBO of -113.0; at the end a test ELBO of
-102.1 with a rate of 36.3, and NLL 98.0 with K=100 (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import default

STEPS_PER_EPOCH = 390


def get_config() -> ConfigDict:
    """5 epochs of batches of 128."""
    config = default.get_config()
    config.data.name = "binarized_mnist"
    config.data.binarize = "none"
    config.model.name = "top_down"
    config.model.latent_dim = 4
    config.top_down.blocks = "1x1,7x3"
    config.top_down.width = 64
    config.objective.schedule = "linear"
    config.optimizer.schedule = "cosine"
    config.optimizer.name = "adamw"
    config.optimizer.ema_decay = 0.999
    config.optimizer.clip_norm = 1_000.0
    config.optimizer.skip_norm = 100_000.0
    config.hparams.learning_rate = 2e-3
    config.train.num_steps = 5 * STEPS_PER_EPOCH
    config.hparams.warmup_steps = STEPS_PER_EPOCH
    config.train.log_every = 130
    config.train.eval_every = STEPS_PER_EPOCH
    config.train.checkpoint_every = STEPS_PER_EPOCH
    config.eval.num_samples = 20
    return config
