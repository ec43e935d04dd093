"""Variational autoencoders in JAX and Flax.

The names here are those that another project needs. The first use of one imports it,
which brings in jax, flax and optax only; data sets, checkpoints, figures and configs
live in `vae_jax.data`, `vae_jax.storage`, `vae_jax.report`, `vae_jax.build` and
`vae_jax.runs`, which are imported by name.

- Models return a `VAEOutput`: `VAE`, `HierarchicalVAE` and `LadderVAE`, put together
  from networks (`MLPEncoder`, ...) and from what is in `posteriors`, `priors` and
  `likelihoods`; or any module of your own; or a `ModelFunctions` pair made with another
  library.
- Distributions are frozen pytrees: `distributions`, and `tabular` for classes, counts,
  missing values and data of several parts.
- Objectives are functions `(output, x, hparams) -> (loss, metrics)`: `elbo_loss`,
  `capacity_loss` and those in `bounds`; `terms` gives what they are made of, and an
  `Objective` may have parameters of its own.
- `vae_trainer` makes pure functions of a model, an objective and an optimiser;
  `ensemble` makes them train many members at once; `schedules` change a traced number
  over time.
- `Trained` is a model with its parameters. `evaluate` gives ELBO, NLL and a summary of
  the latents.
- `errors` are what all of them raise.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time see __getattr__
    from vae_jax import distributions, errors, likelihoods, posteriors, priors
    from vae_jax.distributions import tabular
    from vae_jax.evaluation.evaluate import evaluate
    from vae_jax.evaluation.likelihood import importance_statistics
    from vae_jax.models.base import Chain
    from vae_jax.models.hierarchical import HierarchicalVAE
    from vae_jax.models.ladder import LadderVAE
    from vae_jax.models.vae import VAE
    from vae_jax.networks.conv import ConvDecoder, ConvEncoder
    from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
    from vae_jax.objectives import bounds, schedules
    from vae_jax.objectives.base import Objective, objective, with_gradient_of
    from vae_jax.objectives.elbo import capacity_loss, elbo_loss
    from vae_jax.outputs import Latent, VAEOutput, terms
    from vae_jax.trained import Trained
    from vae_jax.training.checks import check_support
    from vae_jax.training.ensemble import ensemble
    from vae_jax.training.functions import (
        ModelFunctions,
        StatefulModel,
        model_functions,
    )
    from vae_jax.training.split import separate_encoder
    from vae_jax.training.state import (
        Learned,
        TrainState,
        make_hparams,
        scale_by_hparam,
    )
    from vae_jax.training.step import Trainer, vae_trainer

if TYPE_CHECKING:
    from vae_jax.paths import PathLike
    from vae_jax.runs.opened import Run

__version__ = "0.1.0"

# Where the names are defined: `module:name`, or a module.
_HOMES = {
    "Chain": "vae_jax.models.base:Chain",
    "ConvDecoder": "vae_jax.networks.conv:ConvDecoder",
    "ConvEncoder": "vae_jax.networks.conv:ConvEncoder",
    "HierarchicalVAE": "vae_jax.models.hierarchical:HierarchicalVAE",
    "LadderVAE": "vae_jax.models.ladder:LadderVAE",
    "Latent": "vae_jax.outputs:Latent",
    "Learned": "vae_jax.training.state:Learned",
    "MLPDecoder": "vae_jax.networks.mlp:MLPDecoder",
    "MLPEncoder": "vae_jax.networks.mlp:MLPEncoder",
    "ModelFunctions": "vae_jax.training.functions:ModelFunctions",
    "Objective": "vae_jax.objectives.base:Objective",
    "StatefulModel": "vae_jax.training.functions:StatefulModel",
    "TrainState": "vae_jax.training.state:TrainState",
    "Trained": "vae_jax.trained:Trained",
    "Trainer": "vae_jax.training.step:Trainer",
    "VAE": "vae_jax.models.vae:VAE",
    "VAEOutput": "vae_jax.outputs:VAEOutput",
    "bounds": "vae_jax.objectives.bounds",
    "capacity_loss": "vae_jax.objectives.elbo:capacity_loss",
    "check_support": "vae_jax.training.checks:check_support",
    "distributions": "vae_jax.distributions",
    "elbo_loss": "vae_jax.objectives.elbo:elbo_loss",
    "ensemble": "vae_jax.training.ensemble:ensemble",
    "errors": "vae_jax.errors",
    "evaluate": "vae_jax.evaluation.evaluate:evaluate",
    "importance_statistics": "vae_jax.evaluation.likelihood:importance_statistics",
    "likelihoods": "vae_jax.likelihoods",
    "make_hparams": "vae_jax.training.state:make_hparams",
    "model_functions": "vae_jax.training.functions:model_functions",
    "objective": "vae_jax.objectives.base:objective",
    "posteriors": "vae_jax.posteriors",
    "priors": "vae_jax.priors",
    "scale_by_hparam": "vae_jax.training.state:scale_by_hparam",
    "schedules": "vae_jax.objectives.schedules",
    "separate_encoder": "vae_jax.training.split:separate_encoder",
    "tabular": "vae_jax.distributions.tabular",
    "terms": "vae_jax.outputs:terms",
    "vae_trainer": "vae_jax.training.step:vae_trainer",
    "with_gradient_of": "vae_jax.objectives.base:with_gradient_of",
}


def open_run(
    workdir: "PathLike", prior: str | None = None, *, step: int | None = None
) -> "Run":
    """A trained run of the programs, from its workdir: see `runs.opened.Run`.

        run = vae_jax.open_run("runs/digits")
        posterior = run.encode(images)  # [N, H, W, C], uint8 or float32 in [0, 1]
        pictures = run.sample(16)

    Needs the extra `experiments`.

    Args:
        workdir: the folder of the run, or of a member of a grid.
        prior: name of a prior that `experiments.fit_prior` has fitted; None: its own.
        step: number of a step that has a checkpoint: of the last `train.max_to_keep`
            ones; None: the newest.
    """
    from vae_jax.runs import opened  # brings in more than the rest of the library

    return opened.open_run(workdir, prior, step=step)


def __getattr__(name: str) -> Any:
    """Imports a name on its first use: JAX takes seconds, which help need not wait for.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = pkgutil.resolve_name(_HOMES[name])
    return value


def __dir__() -> list[str]:
    """All names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})


__all__ = [
    "Chain",
    "ConvDecoder",
    "ConvEncoder",
    "HierarchicalVAE",
    "LadderVAE",
    "Latent",
    "Learned",
    "MLPDecoder",
    "MLPEncoder",
    "ModelFunctions",
    "Objective",
    "StatefulModel",
    "TrainState",
    "Trained",
    "Trainer",
    "VAE",
    "VAEOutput",
    "bounds",
    "capacity_loss",
    "check_support",
    "distributions",
    "elbo_loss",
    "ensemble",
    "errors",
    "evaluate",
    "importance_statistics",
    "likelihoods",
    "make_hparams",
    "model_functions",
    "objective",
    "open_run",
    "posteriors",
    "priors",
    "scale_by_hparam",
    "schedules",
    "separate_encoder",
    "tabular",
    "terms",
    "vae_trainer",
    "with_gradient_of",
]
