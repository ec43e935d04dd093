"""Fashion-MNIST, binarised anew at each visit, with a deeper network than MNIST's.

Source of the images: Xiao et al. 2017, arXiv:1708.07747.

Command: `python -m experiments.train --config=configs/fashion_mnist.py --workdir=DIR
--config.data.dir=DATA`
Run time: 33 s of training on two CPU cores shared with other work.
Expected: test ELBO -237.4, rate 14.9, NLL 234.9 +- 0.8, 9 of 20 dimensions in use
(docs/results.md).

For the grey values themselves, `--config.data.binarize=none
--config.data.dequantize=True --config.model.likelihood=continuous_bernoulli`
(Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845): a density over [0, 1]^784 weighs
far more than the KL, so codes keep more of the image, and draws from the prior get
worse.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """784-512-256-20-256-512-784."""
    config = default.get_config()
    config.data.name = "fashion_mnist"
    config.mlp.hidden_dims = (512, 256)
    config.model.latent_dim = 20
    config.train.num_steps = 10_000
    return config
