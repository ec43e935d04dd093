"""configs/discrete/fsq.py with lookup-free quantisation: Yu et al. 2024.

Source: arXiv:2310.05737; 8 bits at each site, that is 256 codes. The penalty on the
entropies keeps them in use. Its weight is our own, for a distortion in nats: with 0.5,
600 steps of a dense network on mnist_5k have a perplexity of 218 and a distortion of
84.5 nats, with 0.1 one of 175 and 82.1 nats.

Command: `python -m experiments.train --config=configs/discrete/lfq.py --workdir=DIR
--config.data.dir=DATA`, and the rest as in configs/discrete/fsq.py.
Run time: 160 s of training on two CPU cores shared with other work.
Expected: all 256 codes in use, perplexity 252; minus ELBO 148.6 with uniform codes
(docs/results.md).
"""

from ml_collections import ConfigDict

from configs.discrete import fsq


def get_config() -> ConfigDict:
    """8 bits at each of 16 sites."""
    config = fsq.get_config()
    config.model.posterior = "lfq"
    config.lfq.num_bits = 8
    config.lfq.num_sites = 16
    config.objective.name = "quantized"
    config.hparams.commitment_weight = 0.25
    config.hparams.entropy_weight = 0.5
    return config
