"""Evaluates a trained run again: another split, more samples, another method.

    python -m experiments.evaluate --workdir=runs/mnist --num_samples=5000
    python -m experiments.evaluate --workdir=runs/mnist --method=ais

iwae weighs samples of q(z | x) and gives all numbers of results.json. ais anneals from
the prior and needs no q(z | x), so an autoencoder has an NLL, too. On as many images
drawn from the model it also gives two bounds with the true log-likelihood between them.
Both NLLs err upwards. ais takes minutes for 50 images; compare it with iwae on the same
--num_images, which are spread evenly over the split.

Prints the numbers and writes them to WORKDIR/evaluation/; results.json, which belongs
to training, stays as it is.
"""

import pathlib
from typing import Any

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError
from vae_jax.evaluation import ais, likelihood
from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.chunks import even_rows
from vae_jax.report import terminal
from vae_jax.report.progress import ProgressBar
from vae_jax.runs import memory, opened
from vae_jax.runs.evaluator import Evaluator
from vae_jax.storage.atomic import writing
from vae_jax.storage.records import write_json
from vae_jax.training.functions import model_functions

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Which images."
)
_METHOD = flags.DEFINE_enum("method", "iwae", ["iwae", "ais"], "Of the NLL.")
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", None, "Of the split; by default all for iwae, 50 for ais."
)
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1000, "iwae: K, per image.")
_NUM_TEMPERATURES = flags.DEFINE_integer(
    "num_temperatures", 1000, "ais: steps from the prior to the posterior."
)
_NUM_CHAINS = flags.DEFINE_integer("num_chains", 16, "ais: per image.")
_OF_OTHERS = {"iwae": [_NUM_TEMPERATURES, _NUM_CHAINS], "ais": [_NUM_SAMPLES]}


def main() -> None:
    """Evaluates and prints."""
    cli.required(workdir=_WORKDIR.value)
    method = _METHOD.value
    check_flags(method)
    memory.check_count("--num_samples", _NUM_SAMPLES.value)
    run = opened.open_run(_WORKDIR.value)
    if method == "ais":
        memory.check_annealing(
            run.image_shape, _NUM_TEMPERATURES.value, _NUM_CHAINS.value
        )
    evaluator = Evaluator(run.config, run.dataset(_DATA_DIR.value))
    results: dict[str, Any] = {
        "step": run.step,
        "split": _SPLIT.value,
        "method": method,
    }
    if method == "iwae":
        name = f"k{_NUM_SAMPLES.value}"
        results |= iwae(run, evaluator)
    else:
        name = f"ais_t{_NUM_TEMPERATURES.value}_c{_NUM_CHAINS.value}"
        results |= annealed(run, evaluator)
    if _NUM_IMAGES.value:
        name += f"_n{results['num_images']}"
    folder = pathlib.Path(run.workdir) / "evaluation"
    with writing(f"--workdir={run.workdir}"):
        folder.mkdir(exist_ok=True)
        write_json(folder / f"{_SPLIT.value}_{name}.json", results)
    terminal.print_results(_WORKDIR.value, results)


def check_flags(method: str) -> None:
    """Refuses counts below 1 and counts of the other method."""
    for flag in (_NUM_IMAGES, _NUM_SAMPLES, _NUM_TEMPERATURES, _NUM_CHAINS):
        if flag.value is not None and flag.value < 1:
            raise ConfigError(f"--{flag.name}={flag.value}: must be at least 1")
    for flag in _OF_OTHERS[method]:
        if flag.present:
            raise ConfigError(
                f"--{flag.name}={flag.value} has no effect with --method={method}"
            )


def iwae(run: opened.Run, evaluator: Evaluator) -> dict[str, Any]:
    """Results of weighted samples of the posterior."""
    split, num_samples = _SPLIT.value, _NUM_SAMPLES.value
    key = run.key("evaluation")
    total = len(getattr(evaluator.dataset, split))
    count = min(_NUM_IMAGES.value or total, total)
    with ProgressBar(f"evaluate {split}", count, unit="images") as bar:

        def progress(done: int, _: int) -> None:
            bar.update(done, {})

        if count == total:
            statistics = evaluator.statistics(
                run.params, split, num_samples, key, progress
            )
        else:
            statistics = likelihood.evaluate_images(
                model_functions(evaluator.model).apply,
                run.params,
                evaluator.x(split, even_rows(total, count)),
                lambda x, rows: x,
                key,
                num_samples=num_samples,
                progress=progress,
            )
    return evaluator.summary(statistics, num_samples) | {"num_images": count}


def annealed(run: opened.Run, evaluator: Evaluator) -> dict[str, Any]:
    """Results of annealing on images of the split and on simulated ones."""
    split = _SPLIT.value
    annealing = Annealing(_NUM_TEMPERATURES.value, _NUM_CHAINS.value)
    trained = evaluator.trained(run.params)
    rows = even_rows(len(getattr(evaluator.dataset, split)), _NUM_IMAGES.value or 50)
    with ProgressBar(f"anneal {split}", len(rows), unit="images") as bar:
        real = ais.annealed_likelihood(
            trained,
            evaluator.x(split, rows),
            run.key("annealing"),
            annealing,
            progress=lambda done, _: bar.update(done, {}),
        )
    with ProgressBar("anneal simulated", len(rows), unit="images") as bar:
        simulated = ais.bounds_on_simulated(
            trained,
            len(rows),
            run.key("annealing simulated"),
            annealing,
            progress=lambda done, _: bar.update(done, {}),
        )
    return ais.summarize(real, simulated) | {
        "num_images": len(rows),
        "num_temperatures": annealing.num_temperatures,
        "num_chains": annealing.num_chains,
    }


if __name__ == "__main__":
    cli.run(main)
