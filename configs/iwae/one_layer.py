"""MNIST with one stochastic layer: table 1 of Burda et al. 2016, upper half.

Source: arXiv:1509.00519.

Command, for the row VAE with K=1:
`python -m experiments.train --config=configs/iwae/one_layer.py --workdir=DIR
--config.data.dir=DATA`
and for IWAE with K=5 or 50 also `--config.objective.name=iwae
--config.objective.num_samples=5`. Then `python -m experiments.evaluate --workdir=DIR
--num_samples=5000`. Published, test NLL in nats with K=5000: VAE 86.76, IWAE 85.54
(K=5), 84.78 (K=50).

The protocol is that of the authors' code (github.com/yburda/iwae): 59,600 training
images binarised anew at each visit, batches of 20, 3,280 epochs in eight stages, Adam
with b1 0.99, b2 0.999, a constant of 1e-4 and a second moment that starts at 1, both
for gradients summed over the batch (5e-6 and 1/400 for its mean). The stages are shares
of `train.num_steps`: that one field scales the whole schedule down.

Deviations: the order of the images is shuffled in each epoch (theirs is fixed), weights
start from LeCun's normal instead of Glorot's uniform distribution and the output bias
at 0 instead of the logit of the mean image, and log sigma is bounded at +-10.

Run time: not measured; the schedule takes 9.8 million steps. For two CPU cores there is
configs/iwae/cpu.py.
Expected: the published numbers. We have not run the whole schedule (docs/results.md).
"""

from ml_collections import ConfigDict

from configs import default

STEPS_PER_EPOCH = 59_600 // 20
EPOCHS = 3_280


def get_config() -> ConfigDict:
    """784-200-200-50-200-200-784, tanh."""
    config = default.get_config()
    config.data.name = "mnist"
    config.data.batch_size = 20
    config.data.validation_fraction = 400 / 60_000
    config.mlp.hidden_dims = (200, 200)
    config.model.activation = "tanh"
    config.model.latent_dim = 50
    config.objective.name = "elbo_mc"  # the ELBO with its KL estimated by the draws
    config.optimizer.schedule = "stages"
    config.optimizer.b1 = 0.99
    config.optimizer.eps = 1e-4 / 20
    config.optimizer.second_moment = 1 / 20**2
    config.train.num_steps = EPOCHS * STEPS_PER_EPOCH
    config.train.log_every = STEPS_PER_EPOCH
    config.train.eval_every = 0
    config.train.checkpoint_every = 10 * STEPS_PER_EPOCH
    return config
