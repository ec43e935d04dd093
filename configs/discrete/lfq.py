"""configs/discrete/fsq.py with lookup-free quantisation: Yu et al. 2024.

Source: arXiv:2310.05737; 8 bits at each site, that is 256 codes. The penalty on the
entropies keeps all of them in use.

Command: `python -m experiments.train --config=configs/discrete/lfq.py --workdir=DIR
--config.data.dir=DATA`
Run time: not measured in full.
Expected: no dead codes. The rate is a constant, 49 log 256 = 271.7 nats.
"""

from ml_collections import ConfigDict

from configs.discrete import fsq


def get_config() -> ConfigDict:
    """8 bits."""
    config = fsq.get_config()
    config.model.posterior = "lfq"
    config.lfq.num_bits = 8
    config.objective.name = "quantized"
    config.hparams.commitment_weight = 0.25
    config.hparams.entropy_weight = 0.1
    return config
