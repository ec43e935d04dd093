"""Measures a trained run again: another split, other measures, more samples.

    python -m experiments.evaluate --workdir=runs/mnist --num_samples=5000
    python -m experiments.evaluate --workdir=runs/mnist --measures=annealing

Measures are those of config.eval.measures. likelihood weighs samples of q(z | x).
annealing goes from the prior and needs no q(z | x), so an autoencoder has an NLL, too;
on as many images drawn from the model it also gives two bounds with the true
log-likelihood between them. Both NLLs err upwards. annealing takes minutes for 50
images; compare it with likelihood on the same --num_images, which are spread evenly
over the split.

With --prior=NAME the prior is one that `experiments.fit_prior` has fitted to the codes:
the numbers have the same names, and the name of the file says which prior it was.

Prints the numbers and writes them to WORKDIR/evaluation/; results.json, which belongs
to training, stays as it is.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_MEASURES = flags.DEFINE_list(
    "measures", "likelihood", "What to measure, as in config.eval.measures."
)
_PRIOR = flags.DEFINE_string(
    "prior", None, "Name of a fitted prior to measure with; default: that of training."
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Which images."
)
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", None, "Of the split; by default all, and 50 for annealing."
)
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1000, "likelihood: K, per image.")
_NUM_TEMPERATURES = flags.DEFINE_integer(
    "num_temperatures", 1000, "annealing: steps from the prior to the posterior."
)
_NUM_CHAINS = flags.DEFINE_integer("num_chains", 16, "annealing: chains per image.")
_READ_BY = {
    "likelihood": [_NUM_SAMPLES],
    "annealing": [_NUM_TEMPERATURES, _NUM_CHAINS],
}


def main() -> None:
    """Measures and prints."""
    cli.required(workdir=_WORKDIR.value)
    names = check_flags()
    from vae_jax.evaluation.annealing import Annealing
    from vae_jax.evaluation.measures import Effort
    from vae_jax.report import terminal
    from vae_jax.report.progress import Parts, ProgressBar
    from vae_jax.runs import finish, opened, remeasure

    run = opened.open_run(_WORKDIR.value, _PRIOR.value)
    with ProgressBar(f"measure {_SPLIT.value}", 1) as bar:
        parts = Parts(names, lambda share, name: bar.update(share, note=name))
        effort = Effort(
            num_samples=_NUM_SAMPLES.value,
            annealing=Annealing(_NUM_TEMPERATURES.value, _NUM_CHAINS.value),
            num_annealed=_NUM_IMAGES.value or Effort.num_annealed,
            progress=parts.progress,
        )
        results = remeasure.remeasure(
            run,
            names,
            effort,
            split=_SPLIT.value,
            num_images=_NUM_IMAGES.value,
            data_dir=_DATA_DIR.value,
            on_start=parts.begin,
        )
        bar.update(1)
    terminal.print_results(_WORKDIR.value, results, finish.quantities())


def check_flags() -> list[str]:
    """Names of the measures, once counts below 1 and counts of others are refused."""
    from vae_jax.evaluation import measures
    from vae_jax.ranges import COUNT, require

    asked = list(measures.selected(_MEASURES.value))
    if not asked:
        raise ConfigError(
            f"--measures=: is empty; must be some of {', '.join(measures.BY_NAME)}"
        )
    for flag in (_NUM_IMAGES, *sum(_READ_BY.values(), [])):
        if flag.value is not None:
            require(COUNT, **{f"--{flag.name}": flag.value})
    for name, own in _READ_BY.items():
        for flag in own:
            if flag.present and name not in asked:
                raise ConfigError(
                    f"--{flag.name}={flag.value} has no effect without"
                    f" --measures={name}"
                )
    return asked


if __name__ == "__main__":
    cli.run(main)
