"""The numbers of the lesson."""

from typing import Any

import jax
import numpy as np

from docs.lesson_tools.model import Model
from docs.lesson_tools.trained import DIMS, Models
from vae_jax.evaluation import completeness
from vae_jax.evaluation.measures.regularity import images_to_compare
from vae_jax.types import stream

DATA = {
    "mnist": "MNIST",
    "mnist_5k": "5,000 images of MNIST",
    "digits": "scikit-learn's digits",
}
GENERATORS = ("ae", "rae", "beta0", "beta1")  # whose codes a mixture is fitted to
SHIFT = 0.2  # how far codes are moved, in their own standard deviations


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
