"""Small configs, flags and signals, for end-to-end tests."""

import contextlib
import os
import pathlib
import signal
import types
from collections.abc import Iterator
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs import default
from vae_jax.data.spec import DataSpec
from vae_jax.runs import fit, signals

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

# A run of a second: what to pass to any config to shrink it.
SMALL = {
    "data.batch_size": 16,
    "mlp.hidden_dims": (16,),
    "gated.hidden_dims": (16,),
    "conv.channels": (4, 8),
    "conv.hidden_dim": 16,
    "ladder.latent_dims": (2,),
    "ladder.hidden_dims": (8,),
    "top_down.blocks": "1x1,7x1",
    "top_down.width": 8,
    "model.latent_dim": 3,
    "train.num_steps": 40,
    "train.log_every": 10,
    "train.eval_every": 20,
    "train.checkpoint_every": 20,
    "eval.num_samples": 3,
    "eval.figures": False,
    "eval.measures": ("likelihood",),
}


def spec_of(*image_shape: int) -> DataSpec:
    """Of 100 grey or coloured images [H, W, C]."""
    height, width, channels = image_shape
    return DataSpec((height, width, channels), "8bit", num_train=100)


def small_config(base: ConfigDict | None = None, **fields: Any) -> ConfigDict:
    """A shrunk config; fields as {"a.b": value}."""
    config = default.get_config() if base is None else base
    config.update_from_flattened_dict({**SMALL, **fields})
    return config


def flags(**fields: Any) -> list[str]:
    """The same as flags."""
    return [f"--config.{name}={value}" for name, value in {**SMALL, **fields}.items()]


@contextlib.contextmanager
def sigterm_after(num_chunks: int, most: int = 2**31) -> Iterator[None]:
    """Within it a training is interrupted, as by SIGTERM, after so many chunks.

    Args:
        num_chunks: how many.
        most: steps of a chunk, where no report or the like makes it shorter.
    """
    pace = types.SimpleNamespace(steps=most, made=lambda steps: None)
    answers = iter([0] * num_chunks)
    asked = contextlib.nullcontext(lambda: next(answers, signal.SIGTERM))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signals, "deferred", lambda: asked)
        patch.setattr(fit, "Pace", lambda block: pace)
        with pytest.raises(signals.Interrupted, match="stopped by SIGTERM at step"):
            yield


def devices(count: int) -> str:
    """XLA_FLAGS for so many simulated devices, with what is in it already."""
    own = f"--xla_force_host_platform_device_count={count}"
    return f"{os.environ.get('XLA_FLAGS', '')} {own}"
