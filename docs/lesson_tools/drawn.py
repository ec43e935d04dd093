"""The figures of the lesson, from its models."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from docs.lesson_tools import figures, hourglass, maps
from docs.lesson_tools.measured import DATA
from docs.lesson_tools.model import COMPONENTS, Model
from docs.lesson_tools.trained import DIMS, WEIGHTS, Models
from vae_jax.evaluation.chunks import even_rows
from vae_jax.files import replace_file
from vae_jax.report.latent_space import prior_grid
from vae_jax.runs.exploration import explore
from vae_jax.storage.records import read_metrics
from vae_jax.types import Array

SHOWN = {"ae": "AE", "beta0": "β = 0", "beta1": "β = 1", "beta100": "β = 100"}
RATE, DISTORTION = "KL, nats", "−log p(x | z), nats"
DIGIT = 7  # the first test image of it is shown on its way


def draw_hourglasses(models: Models, out: pathlib.Path) -> None:
    """Both networks, with an image that goes in and what the trained ones give back."""
    for name, kind in (("autoencoder", "ae"), ("vae", "beta1")):
        model = models[kind, DIMS[-1]]
        x = first_image(model, DIGIT)
        posterior = model.encode(x)
        sizes = (x.size, *model.config.mlp.hidden_dims, DIMS[-1])
        decoded = model.decode(posterior.sample(model.key))
        for language, words in hourglass.WORDS.items():
            images = np.asarray(x[0]), decoded[0]
            drawing = hourglass.draw(sizes, images, words, cloud=name == "vae")
            replace_file(out / f"{name}{language}.svg", drawing.encode())


def write_explorer(models: Models, out: pathlib.Path) -> None:
    """A page that goes through the latent spaces of the models with two dimensions."""
    folders = [models[name, DIMS[0]].folder for name in SHOWN]
    title = f"{DATA[models['ae', DIMS[0]].dataset.name]} in codes of two numbers"
    explore(folders, out / "explorer.html", title=title, names=list(SHOWN.values()))


def first_image(model: Model, digit: int) -> Array:
    """The first test image of a digit, [1, H, W, C]."""
    row = np.flatnonzero(model.dataset.test.labels == digit)[:1]
    return model.data.heldout.x(row)


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
    figures.image_rows(rows, out / "reconstructions.png")

    lines = {}
    for title, model in flat.items():
        codes = np.asarray(model.encode(x).mean)
        lines[title] = np.linspace(codes[[1, 0]], codes[[3, 6]], 10, axis=1)
    rows = {title: flat[title].decode(z) for title, z in lines.items()}
    figures.image_rows(rows, out / "interpolations.png")

    few = even_rows(len(labels), 1500)
    clouds = {}
    for title, model in flat.items():
        posterior = model.encode(test.x(few))
        clouds[title] = np.asarray(posterior.mean), np.sqrt(posterior.variance)
    maps.latent_maps(clouds, labels[few], out / "latent_maps.png")

    squares = {title: m.decode(prior_grid(8)) for title, m in flat.items()}
    figures.image_panels(squares, out / "prior_grids.png")

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
    figures.image_panels(panels, out / "samples.png")


def draw_numbers(models: Models, numbers: Mapping[str, Any], out: pathlib.Path) -> None:
    """The figures that are curves and bars."""
    curves = {}
    for name in ("beta100", "beta1", "beta0"):
        records = read_metrics(models[name, 2].folder / "metrics.jsonl")
        found = [r for r in records if "eval/posterior_variance" in r]
        values = [r["eval/posterior_variance"] for r in found]
        curves[SHOWN[name]] = [r["step"] for r in found], values
    figures.posterior_variance(curves, out / "posterior_variance.png")

    def against_weight(key: str) -> dict[str, list[float]]:
        return {
            f"{dim}-D": [models[f"beta{w:g}", dim].results[key] for w in WEIGHTS]
            for dim in DIMS
        }

    panels = {
        "σ² / var(z)": against_weight("noise_share"),
        RATE: against_weight("rate"),
        DISTORTION: against_weight("distortion"),
    }
    for values in panels[RATE].values():
        values[0] = np.nan  # a weight of 0 leaves it without any meaning
    level = {DISTORTION: {"x̄": numbers["blank.distortion"]}}
    figures.against_weight(WEIGHTS, panels, level, out / "kl_weights.png")

    coverage = {"x": models["beta1", 16].results["real_coverage"]}
    for name, title in SHOWN.items():
        coverage[f"{title},  N(0, I)"] = models[name, 16].results["coverage"]
    coverage["β = 0,  N(m, S)"] = models["beta0", 16].results["fitted_coverage"]
    for name, title in (("ae", "AE"), ("rae", "RAE")):
        title = f"{title},  {COMPONENTS} N(m, S)"
        coverage[title] = numbers[f"{name}.16d.mixture_coverage"]
    figures.bars(coverage, out / "coverage.png")


def draw_steps(model: Model, out: pathlib.Path) -> dict[str, float]:
    """The figure of the four steps for one test image; its numbers."""
    x = first_image(model, DIGIT)
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
    maps.four_steps(
        np.asarray(x[0]),
        (mean, std),
        np.asarray(z),
        (model.decode(mean), model.decode(z)),
        (numbers["image.distortion"], numbers["image.rate"]),
        out / "four_steps.png",
    )
    return numbers
