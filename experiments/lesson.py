r"""Trains the models of docs/lesson.md, draws its figures and writes its numbers.

    python -m experiments.lesson --out=docs/lesson --data_dir=DIR

On MNIST, of which DIR holds a copy (see experiments/prepare_data.py), or without
--data_dir on 5,000 of its training images, which need no download: a plain autoencoder
and VAEs with several KL weights, each with 2 and with 16 latent dimensions, and a
regularised autoencoder with 16. Writes
OUT/*.png and OUT/lesson.json and brings the numbers in OUT.md and OUT.es.md up to date.
A second run continues where the first was interrupted and trains nothing twice.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from configs import default
from experiments import cli, lesson_figures, lesson_text
from experiments.lesson_model import COMPONENTS, Model
from vae_jax import build
from vae_jax.errors import DataError
from vae_jax.evaluation import completeness
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.measures.regularity import images_to_compare
from vae_jax.files import writing
from vae_jax.report.latent_space import prior_grid
from vae_jax.runs import grid, members
from vae_jax.storage.records import read_metrics, write_json
from vae_jax.types import stream

_OUT = cli.define_path("out", None, "Folder of figures and numbers: docs/lesson.")
_DATA_DIR = cli.define_path("data_dir", None, "Where MNIST lies; else: mnist_5k.")
_WORKDIR = cli.define_path("workdir", "runs/lesson", "Folder of the trained runs.")
_NUM_STEPS = flags.DEFINE_integer("num_steps", 3000, "Training steps of each model.")

WEIGHTS = (0.0, 0.1, 1.0, 5.0, 20.0, 100.0)
DIMS = (2, 16)
SHOWN = {"ae": "AE", "beta0": "β = 0", "beta1": "β = 1", "beta100": "β = 100"}
DATA = {
    "mnist": "MNIST",
    "mnist_5k": "5,000 images of MNIST",
    "digits": "scikit-learn's digits",
}
GENERATORS = ("ae", "rae", "beta0", "beta1")  # whose codes a mixture is fitted to
SHIFT = 0.2  # how far codes are moved, in their own standard deviations
LANGUAGES = ("", ".es")


Models = Mapping[tuple[str, int], Model]  # ("beta1", 16): KL weight 1, 16 dimensions


def make_config(data_dir: str | None, num_steps: int) -> ConfigDict:
    """What all models of the lesson share."""
    config = default.get_config()
    config.data.name = "mnist_5k"
    if data_dir:
        config.data.name, config.data.dir = "mnist", data_dir
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


def measure(models: Models) -> dict[str, Any]:
    """Every result of every model, as "beta1.16d.coverage", and what else is quoted."""
    first = models["beta1", 2]
    dataset = first.dataset
    numbers: dict[str, Any] = {
        "data": DATA[dataset.name],
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "pixels": int(np.prod(dataset.image_shape)),
        "num_steps": first.config.train.num_steps,
        "blank.distortion": blank_distortion(first),
        "shift": SHIFT,
    }
    for (name, dim), model in models.items():
        for key, value in model.results.items():
            if "." not in key and key not in ("name", "seed"):
                numbers[f"{name}.{dim}d.{key}"] = value
        numbers[f"{name}.{dim}d.shift_cost"] = shift_cost(model)
    for name in GENERATORS:
        for key, value in mixture_numbers(models[name, DIMS[-1]]).items():
            numbers[f"{name}.{DIMS[-1]}d.mixture_{key}"] = value
    return numbers


def mixture_numbers(model: Model) -> dict[str, float]:
    """Coverage and Frechet distance of draws of codes from a mixture fitted to them."""
    train, heldout = images_to_compare(model.data)
    real = completeness.real_images(heldout, train)
    z = model.mixture.sample(stream(model.key, "mixture codes"), len(heldout))
    x_key = stream(model.key, "mixture images")
    fake = completeness.draw(model.layer.decode, z, x_key)
    return {
        key: float(value) for key, value in completeness.compare(real, fake).items()
    }


def blank_distortion(model: Model) -> float:
    """Nats of the best decoder without a code: always the mean training image."""
    train = model.dataset.train
    on = (train.images / 255.0).sum(axis=0)
    p = (on + 0.5) / (len(train) + 1)  # a pixel that was never on may be, once
    x = np.asarray(model.data.heldout.x())
    log_lik = x * np.log(p) + (1 - x) * np.log1p(-p)
    return -float(log_lik.sum(axis=(1, 2, 3)).mean())


def shift_cost(model: Model) -> float:
    """By how many nats the distortion rises when each code moves a little.

    From the posterior mean, by normal noise of SHIFT standard deviations of q(z).
    """
    x = model.data.heldout.some(2000).x()
    z = model.encode(x).mean
    eps = jax.random.normal(model.key, z.shape)
    spread = model.codes.square_root()
    moved = z + SHIFT * eps @ spread.T
    return model.distortion(moved, x) - model.distortion(z, x)


def draw_images(models: Models, out: pathlib.Path) -> None:
    """The figures that show images and codes."""
    plain = models["beta1", 2]
    test, labels = plain.data.heldout, plain.dataset.test.labels
    assert labels is not None  # of MNIST, all of it or a part
    flat = {title: models[name, 2] for name, title in SHOWN.items()}
    deep = {title: models[name, 16] for name, title in SHOWN.items()}

    first = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    x = test.x(first)
    rows = {"x": np.asarray(x)[None]}
    rows |= {t: m.decode(m.encode(x).mean)[None] for t, m in deep.items()}
    lesson_figures.image_rows(rows, out / "reconstructions.png")

    lines = {}
    for title, model in flat.items():
        codes = np.asarray(model.encode(x).mean)
        lines[title] = np.linspace(codes[[1, 0]], codes[[3, 6]], 10, axis=1)
    rows = {title: flat[title].decode(z) for title, z in lines.items()}
    lesson_figures.image_rows(rows, out / "interpolations.png")

    few = even_rows(len(labels), 1500)
    clouds = {}
    for title, model in flat.items():
        posterior = model.encode(test.x(few))
        clouds[title] = np.asarray(posterior.mean), np.sqrt(posterior.variance)
    lesson_figures.latent_maps(clouds, labels[few], out / "latent_maps.png")

    squares = {title: m.decode(prior_grid(8)) for title, m in flat.items()}
    lesson_figures.image_panels(squares, out / "prior_grids.png")

    key, shape = plain.key, (4, 6, 16)
    zero = models["beta0", 16]
    fitted = np.reshape(zero.codes.sample_fitted(key, shape[0] * shape[1]), shape)
    real = np.asarray(test.x(even_rows(len(labels), 24)))
    panels = {"x": real.reshape(*shape[:2], *real.shape[1:])}
    z = jax.random.normal(key, shape)
    panels |= {f"{title},  N(0, I)": m.decode(z) for title, m in deep.items()}
    panels["β = 0,  N(m, S)"] = zero.decode(fitted)
    for name, title in (("ae", "AE"), ("rae", "RAE")):
        model = models[name, DIMS[-1]]
        z = model.mixture.sample(key, shape[0] * shape[1]).reshape(shape)
        panels[f"{title},  {COMPONENTS} N(m, S)"] = model.decode(z)
    lesson_figures.image_panels(panels, out / "samples.png")


def draw_numbers(models: Models, numbers: Mapping[str, Any], out: pathlib.Path) -> None:
    """The figures that are curves and bars."""
    curves = {}
    for name in ("beta100", "beta1", "beta0"):
        records = read_metrics(models[name, 2].folder / "metrics.jsonl")
        found = [r for r in records if "eval/posterior_variance" in r]
        values = [r["eval/posterior_variance"] for r in found]
        curves[SHOWN[name]] = [r["step"] for r in found], values
    lesson_figures.posterior_variance(curves, out / "posterior_variance.png")

    def against_weight(key: str) -> dict[str, list[float]]:
        return {
            f"{dim}-D": [models[f"beta{w:g}", dim].results[key] for w in WEIGHTS]
            for dim in DIMS
        }

    panels = {
        "std² / var(z)": against_weight("noise_share"),
        "rate = KL, nats": against_weight("rate"),
        "distortion, nats": against_weight("distortion"),
    }
    for values in panels["rate = KL, nats"].values():
        values[0] = np.nan  # a weight of 0 leaves it without any meaning
    level = {"distortion, nats": {"x̄": numbers["blank.distortion"]}}
    lesson_figures.against_weight(WEIGHTS, panels, level, out / "kl_weights.png")

    coverage = {"x": models["beta1", 16].results["real_coverage"]}
    for name, title in SHOWN.items():
        coverage[f"{title},  N(0, I)"] = models[name, 16].results["coverage"]
    coverage["β = 0,  N(m, S)"] = models["beta0", 16].results["fitted_coverage"]
    for name, title in (("ae", "AE"), ("rae", "RAE")):
        title = f"{title},  {COMPONENTS} N(m, S)"
        coverage[title] = numbers[f"{name}.16d.mixture_coverage"]
    lesson_figures.bars(coverage, out / "coverage.png")


def draw_steps(model: Model, digit: int, out: pathlib.Path) -> dict[str, float]:
    """The figure of the four steps for the first test image of a digit; its numbers."""
    row = np.flatnonzero(model.dataset.test.labels == digit)[:1]
    x = model.data.heldout.x(row)
    posterior = model.encode(x)
    keys = jax.random.split(model.key, 8)
    z = jax.vmap(posterior.sample)(keys)[:, 0]
    (mean,), (std,) = np.asarray(posterior.mean), np.sqrt(posterior.variance)
    likelihood = model.layer.decode(z[:1])
    numbers = {
        **{f"image.mean_{d}": float(value) for d, value in enumerate(mean)},
        **{f"image.std_{d}": float(value) for d, value in enumerate(std)},
        "image.distortion": -float(likelihood.log_prob(x)[0]),
        "image.rate": float(0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std)).sum()),
    }
    numbers["image.loss"] = numbers["image.distortion"] + numbers["image.rate"]
    lesson_figures.four_steps(
        np.asarray(x[0]),
        mean,
        std,
        np.asarray(z),
        model.decode(z),
        (numbers["image.distortion"], numbers["image.rate"]),
        out / "four_steps.png",
    )
    return numbers


def teach(config: ConfigDict, workdir: pathlib.Path, out: pathlib.Path) -> None:
    """Trains, measures, draws, and brings the texts beside `out` up to date."""
    models = train_all(config, workdir / config.data.name)
    numbers = measure(models)
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        draw_images(models, out)
        draw_numbers(models, numbers, out)
        numbers |= draw_steps(models["beta1", 2], 7, out)
        write_json(out / "lesson.json", numbers)
        for language in LANGUAGES:
            path = out.with_name(f"{out.name}{language}.md")
            if path.is_file():
                link = f"{out.name}/lesson.json"
                text = lesson_text.fill(path.read_text("utf-8"), numbers, link)
                path.write_text(text, "utf-8")


def main() -> None:
    """Reads the flags."""
    cli.required(out=_OUT.value)
    out = pathlib.Path(_OUT.value)
    config = make_config(_DATA_DIR.value, _NUM_STEPS.value)
    teach(config, pathlib.Path(_WORKDIR.value), out)
    print(f"figures and numbers: {out}")


if __name__ == "__main__":
    cli.run(main)
