"""The trainings that are timed: three networks on made-up images."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.common import seconds
from configs import default
from vae_jax import build, traced
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.training.functions import apply_samples, model_functions
from vae_jax.types import stream

MODELS = {"mlp": 4_000, "conv": 400, "cifar": 200}  # steps
NUM_IMAGES = 20_000


def make_config(model: str, path: pathlib.Path, num_steps: int) -> ConfigDict:
    """The model and its data."""
    config = default.get_config()
    config.data.name = f"npz:{path}"
    config.model.network = "mlp" if model == "mlp" else "conv"
    config.mlp.hidden_dims = (400,)
    config.model.latent_dim = 20
    if model == "cifar":
        config.data.binarize = "none"
        config.conv.channels = (32, 64, 128)
        config.model.latent_dim = 64
        config.model.likelihood = "normal"
        config.normal.scale = "fixed"
    config.train.num_steps = num_steps
    config.train.log_every = min(config.train.log_every, num_steps // 5)
    config.train.eval_every = 0
    config.train.checkpoint_every = min(config.train.checkpoint_every, num_steps // 2)
    return config


@contextlib.contextmanager
def made(model: str, num_steps: int) -> Iterator[tuple[ConfigDict, np.ndarray]]:
    """A config and its made-up images, whose file lasts as long as the block."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "images.npz"
        images = make_images(model, path)
        yield make_config(model, path, num_steps), images


def make_images(model: str, path: pathlib.Path) -> np.ndarray:
    """Writes made-up images, a fifth of it ink, and gives those of training."""
    shape = (32, 32, 3) if model == "cifar" else (28, 28, 1)
    numbers = np.random.default_rng(0)
    ink = numbers.integers(0, 256, (NUM_IMAGES, *shape), np.uint8)
    ink *= numbers.random(ink.shape) < 0.2
    cut = NUM_IMAGES * 9 // 10
    np.savez(path, x_train=ink[:cut], x_test=ink[cut:])
    return ink[:cut]


def bare(config: ConfigDict) -> Callable[[], float]:
    """Steps per second of the step alone, data on the device."""
    dataset, steps = build.make_dataset(config), config.train.num_steps
    trainer = build.make_trainer(config, build.make_parts(config, dataset.spec))
    preprocess = build.make_preprocess(config)
    hparams, key = traced.make_hparams_of(config), build.run_key(config)
    images = jnp.asarray(dataset.examples("train"))
    z_key, x_key = stream(key, "latents"), stream(key, "preprocess")
    rows = np.random.default_rng(0).integers(
        0, len(images), (steps, config.data.batch_size), np.int32
    )

    def one_step(state: Any, row: Any) -> Any:
        x = preprocess(images[row], jax.random.fold_in(x_key, state.step))
        state, metrics = trainer.step(state, x, z_key, hparams)
        return state, metrics["loss"]

    run = jax.jit(lambda state: jax.lax.scan(one_step, state, rows))
    state = trainer.init(key, jnp.zeros((1, *dataset.spec.image_shape)))
    run(state)  # compile
    return lambda: steps / seconds(run, state)


def flops_per_step(config: ConfigDict) -> float:
    """Of the gradient of the ELBO of one batch, as XLA counts them for a CPU."""
    spec = build.make_dataset(config).spec
    functions = model_functions(build.make_parts(config, spec)["model"])
    key, hparams = jax.random.key(0), traced.make_hparams_of(config)
    x = jnp.zeros((config.data.batch_size, *spec.image_shape))

    def loss(params: Any) -> Any:
        output = apply_samples(functions.apply, params, x, key, 1)
        return elbo_loss(output, x, hparams)[0]

    params = functions.init(key, x)
    # Not every backend counts before it compiles.
    with jax.default_device(jax.devices("cpu")[0]):
        lowered = jax.jit(jax.grad(loss)).lower(jax.device_get(params))
        return lowered.cost_analysis()["flops"]
