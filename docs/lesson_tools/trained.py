"""The models of the lesson: autoencoders, and VAEs with several KL weights."""

import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from configs import default
from docs.lesson_tools.model import Model
from vae_jax import build
from vae_jax.errors import DataError
from vae_jax.runs import grid, members

WEIGHTS = (0.0, 0.1, 1.0, 5.0, 20.0, 100.0)
DIMS = (2, 16)

Models = Mapping[tuple[str, int], Model]  # ("beta1", 16): KL weight 1, 16 dimensions


def make_config(data_dir: pathlib.Path | None, num_steps: int) -> ConfigDict:
    """What all models of the lesson share."""
    config = default.get_config()
    config.data.name = "mnist_5k"
    if data_dir:
        config.data.name, config.data.dir = "mnist", str(data_dir)
    config.mlp.hidden_dims = (256, 64)
    config.train.num_steps = num_steps
    config.train.eval_every = max(1, num_steps // 8)
    config.train.checkpoint_every = config.train.eval_every
    config.eval.num_samples = 1  # the lesson quotes no NLL
    config.eval.figures = False
    return config


def train_all(config: ConfigDict, workdir: pathlib.Path) -> Models:
    """Trains what is not trained yet, and opens everything."""
    autoencoder = config.copy_and_resolve_references()
    autoencoder.model.posterior = "deterministic"
    smooth = autoencoder.copy_and_resolve_references()
    smooth.model.name, smooth.objective.name = "rae", "regularized"
    smooth.hparams.update(kl_weight=0.0, code_weight=0.1, gradient_weight=0.1)
    dims = "model.latent_dim=" + ",".join(map(str, DIMS))
    weights = "hparams.kl_weight=" + ",".join(f"{w:g}" for w in WEIGHTS)
    dataset = build.make_dataset(config)
    grids = {
        "ae": (autoencoder, [dims]),
        "rae": (smooth, [f"model.latent_dim={DIMS[-1]}"]),
        "beta": (config, [dims, weights]),
    }
    models = {}
    for kind, (base, sweeps) in grids.items():
        folder = workdir / kind
        for row in grid.train_grid(base, folder, sweeps, seeds=1):
            if "failed_at_step" in row:
                raise DataError(f"{folder}: the loss of {row['name']} was not finite")
            dim, weight = row["model.latent_dim"], row.get("hparams.kl_weight")
            name = kind if weight is None else f"{kind}{weight:g}"
            member = members.folder(folder, row["name"])
            models[name, dim] = Model(row, member, dataset)
    return models
