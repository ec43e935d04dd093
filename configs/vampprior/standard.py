"""Static binarised MNIST with a standard normal prior: Tomczak and Welling 2018.

Source: arXiv:1705.07120.

Command: `python -m experiments.train --config=configs/vampprior/standard.py
--workdir=DIR --config.data.dir=DATA`, then `python -m experiments.evaluate
--workdir=DIR --num_samples=5000`. Published, test NLL in nats with 5,000 samples:
88.56; with configs/vampprior/vamp.py 85.57.

The protocol is that of the authors' code (github.com/jmtomczak/vae_vampprior): two
gated layers of 300 units on each side, 40 latent dimensions, batches of 100, learning
rate 5e-4 with each parameter's gradient divided by its norm before Adam, and a KL
weight that grows over 100 epochs. They train for up to 2,000 epochs and stop after 50
without improvement; `train.num_steps` shortens this, together with
`hparams.warmup_steps`.

Run time: 83 s of training on two CPU cores for the 30 epochs of docs/results.md, of up
to 2,000.
Expected after those: 91.60 +- 0.23.
"""

from ml_collections import ConfigDict

from configs import default

STEPS_PER_EPOCH = 500


def get_config() -> ConfigDict:
    """784-300-300-40-300-300-784, gated."""
    config = default.get_config()
    config.data.name = "binarized_mnist"
    config.data.binarize = "none"
    config.data.batch_size = 100
    config.model.network = "gated"
    config.gated.hidden_dims = (300, 300)
    config.model.latent_dim = 40
    config.objective.schedule = "linear"
    config.hparams.warmup_steps = 100 * STEPS_PER_EPOCH
    config.hparams.learning_rate = 5e-4
    config.optimizer.normalize = True
    config.train.num_steps = 2_000 * STEPS_PER_EPOCH
    config.train.log_every = STEPS_PER_EPOCH
    config.train.eval_every = 10 * STEPS_PER_EPOCH
    config.train.checkpoint_every = 10 * STEPS_PER_EPOCH
    return config
