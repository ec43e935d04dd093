"""scikit-learn's handwritten digits, 8x8, binarised anew at each visit.

Command: `python -m experiments.train --config=configs/digits.py --workdir=DIR`
Needs no download. 1,437 training, 180 validation and 180 test images.
Run time and results: docs/results.md.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The default config, named."""
    return default.get_config()
