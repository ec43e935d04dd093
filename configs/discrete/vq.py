"""configs/discrete/fsq.py with vector quantisation: van den Oord et al. 2017.

Source: arXiv:1711.00937; codes as running averages with decay 0.99 and a commitment of
0.25, summed over sites as the distortion is over pixels. 256 codes of 8 numbers.

Command: `python -m experiments.train --config=configs/discrete/vq.py --workdir=DIR
--config.data.dir=DATA`, and the rest as in configs/discrete/fsq.py.
Expected: all 256 codes in use, perplexity 246; minus ELBO 135.2 with uniform codes and
128.4 with the fitted prior (docs/results.md).
"""

from ml_collections import ConfigDict

from configs.discrete import fsq


def get_config() -> ConfigDict:
    """256 codes of 8 numbers at each of 16 sites."""
    config = fsq.get_config()
    config.model.posterior = "vq"
    config.vq.num_codes = 256
    config.vq.code_dim = 8
    config.vq.num_sites = 16
    config.objective.name = "quantized"
    config.hparams.commitment_weight = 0.25
    return config
