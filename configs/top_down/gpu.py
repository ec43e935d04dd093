"""A convolutional top-down model of static binarised MNIST, for one GPU.

Ten latent layers of 16 channels, two of a single site, five of 7x7 and three of 14x14
sites: 13,360 numbers in all. Source of the model: Child 2021, arXiv:2011.10650. The
size is that of small models of binarised MNIST; the schedule is our own: about 300
epochs, a KL weight that rises for the first 5,000 steps, and networks in bfloat16.

Command: `python -m experiments.train --config=configs/top_down/gpu.py --workdir=DIR
--config.data.dir=DATA`
Run time: 8 minutes on one H100, at 123 steps a second, after 158 s of compilation.
Expected: with `--config.train.num_steps=19000` an ELBO of -83.52 and an NLL of 80.64 +-
0.20 with K=1000 after 238 s (docs/results.md); all steps have not been run. A ladder of
six convolutional layers has -80.74 and 78.52 (github.com/addtt/ladder-vae-pytorch).
"""

from ml_collections import ConfigDict

from configs import default

STEPS_PER_EPOCH = 195


def get_config() -> ConfigDict:
    """308 epochs of batches of 256."""
    config = default.get_config()
    config.data.name = "binarized_mnist"
    config.data.binarize = "none"
    config.data.batch_size = 256
    config.model.name = "top_down"
    config.model.latent_dim = 16
    config.model.dtype = "bfloat16"
    config.top_down.blocks = "1x2,7x5,14x3"
    config.top_down.width = 96
    config.objective.schedule = "linear"
    config.optimizer.name = "adamw"
    config.optimizer.schedule = "cosine"
    config.optimizer.clip_norm = 1_000.0
    config.optimizer.skip_norm = 100_000.0
    config.optimizer.ema_decay = 0.999
    config.adamw.weight_decay = 0.01
    config.train.num_steps = 60_000
    config.hparams.warmup_steps = 5_000
    config.train.log_every = 10 * STEPS_PER_EPOCH
    config.train.eval_every = 50 * STEPS_PER_EPOCH
    config.train.checkpoint_every = 50 * STEPS_PER_EPOCH
    config.eval.num_samples = 1_000
    config.eval.measures = ("likelihood",)
    return config
