"""M1+M2: MNIST with 100 labels, learned from the codes of a run without labels.

Source: Kingma et al. 2014, arXiv:1406.5298. M1 is a VAE of all images; M2 has the class
as a latent variable, see configs/semi_supervised.py, and is trained on the means of
q(z | x) of M1. Other than there, codes are not drawn anew in each step, and the code of
M2 has 5 dimensions.

Command: M1 and its codes are made by
`python -m experiments.train --config=configs/mnist.py --workdir=M1
--config.data.dir=DATA --config.model.latent_dim=50
'--config.mlp.hidden_dims=(500,500)' --config.optimizer.schedule=cosine` and
`python -m experiments.encode --workdir=M1 --split=all --out=codes.npz`; then
`python -m experiments.train --config=configs/m1_m2.py --workdir=DIR
--config.data.name=npz:codes.npz`, with `--config.data.num_labelled=1000` for 1,000.
Run time: 6 minutes of training for M1 and 2 for M2 on two CPU cores with much other
work.
Expected: test error 6.9 %, the mean of three seeds, and 4.7 % with 1,000 labels
(docs/results.md).
"""

from ml_collections import ConfigDict

from configs import semi_supervised


def get_config() -> ConfigDict:
    """M2 of rows of real numbers, with a Laplace likelihood; the rest as of images."""
    config = semi_supervised.get_config()
    config.data.name = "npz:codes.npz"
    config.data.binarize = "none"
    config.model.likelihood = "laplace"
    config.hparams.kl_weight = 1.0
    config.eval.measures = ("likelihood", "classification")
    config.eval.figures = False  # rows have no pictures
    return config
