"""The one-layer model of Burda et al. 2016 on a schedule for two CPU cores.

Source of the model: arXiv:1509.00519; the schedule is our own. Larger batches, Adam's
usual constants, a cosine to zero and an average of the parameters get further in
minutes than a cut of the original schedule.

Command: `python -m experiments.train --config=configs/iwae/cpu.py --workdir=DIR
--config.data.dir=DATA`, then `python -m experiments.evaluate --workdir=DIR
--num_samples=5000`
Run time: 522 s of training on two CPU cores shared with other work.
Expected: NLL 89.04 +- 0.24 with K=5000; after half the steps 90.28 +- 0.24; with
`--config.train.num_steps=894000`, 1,500 epochs, 86.93 +- 0.23. The paper's full
schedule gives 86.76 (docs/results.md).
"""

from ml_collections import ConfigDict

from configs.iwae import one_layer


def get_config() -> ConfigDict:
    """200 epochs of batches of 100."""
    config = one_layer.get_config()
    config.data.batch_size = 100
    config.optimizer.schedule = "cosine"
    config.hparams.learning_rate = 2e-3
    config.optimizer.b1 = 0.9
    config.optimizer.eps = 1e-8
    config.optimizer.second_moment = 0.0
    config.optimizer.ema_decay = 0.999
    config.train.num_steps = 200 * 596
    config.train.log_every = 596
    config.train.checkpoint_every = 10 * 596
    return config
