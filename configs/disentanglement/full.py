"""dSprites, drawn anew, with the whole protocol of the papers, for one GPU.

Source: Locatello et al. 2019, arXiv:1811.12359, appendix C: strided convolutions of
32, 32, 64 and 64 channels, a dense layer of 256, 10 latent dimensions, batches of 64,
Adam with 1e-4, 300,000 steps, 50 seeds for each of six weights of an objective. The
encoder's kernels are 4, 4, 2 and 2 wide there, and 4 here throughout.

Command, of one objective, with all its weights and seeds in one program:
`python -m experiments.ablate --config=configs/disentanglement/full.py --workdir=DIR
--config.objective.name=beta_tc --sweep=hparams.tc_weight=0,1,3,5,7,9 --seeds=50`. Of
the others: `--sweep=hparams.kl_weight=1,2,4,6,8,16`; `factor` with
`tc_weight=10,20,30,40,50,100`; `dip_i` and `dip_ii` with
`covariance_weight=1,2,5,10,20,50`; `capacity` with `capacity=5,10,25,50,75,100`,
`--config.hparams.kl_weight=1000`, `--config.objective.schedule=linear` and
`--config.hparams.warmup_steps=100000`.
Run time: for a GPU; on two CPU cores five steps a second. We have not run it.
Expected: in the paper the median MIG of every objective lies between 0.05 and 0.3.
"""

from ml_collections import ConfigDict

from configs.disentanglement import dsprites


def get_config() -> ConfigDict:
    """300,000 steps of batches of 64."""
    config = dsprites.get_config()
    config.model.network = "conv"
    config.hparams.learning_rate = 1e-4
    config.train.num_steps = 300_000
    config.train.log_every = 5_000
    config.train.eval_every = 50_000
    config.train.checkpoint_every = 50_000
    return config
