"""scikit-learn's handwritten digits, 8x8, binarised anew at each visit.

Source of the images: Alpaydin and Kaynak 1998, UCI, by scikit-learn; no download.
1,437 training, 180 validation and 180 test images. The objective is that of Kingma and
Welling 2014, arXiv:1312.6114.

Command: `python -m experiments.train --config=configs/digits.py --workdir=DIR`
Run time: 32 s of training on two CPU cores busy with other work.
Expected with seed 0: test ELBO -22.7, rate 5.3, NLL 22.2 +- 0.3, 15 of 16 dimensions in
use.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The default config, named."""
    return default.get_config()
