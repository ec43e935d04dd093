"""Schedules at steps worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.objectives import schedules
from vae_jax.training.state import make_hparams

STEPS = [0, 25, 50, 100, 150, 200, 250, 1000]
SIGMOID = [1 / (1 + np.exp(-10 * (t / 100 - 0.5))) for t in STEPS]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (schedules.constant, [1] * 8),
        (schedules.linear, [0, 0.25, 0.5, 1, 1, 1, 1, 1]),
        (schedules.sigmoid, SIGMOID),
        # Up over 100 steps, flat for 100, and again.
        (schedules.cyclical, [0, 0.25, 0.5, 1, 1, 0, 0.5, 0]),
    ],
)
def test_shape(shape, expected):
    schedule = schedules.scale("kl_weight", shape)
    for step, factor in zip(STEPS, expected, strict=True):
        hparams = make_hparams(kl_weight=4.0, warmup_steps=100, learning_rate=0.1)
        now = schedule(jnp.asarray(step), hparams)
        np.testing.assert_allclose(now["kl_weight"], 4 * factor, rtol=1e-5)
        assert now["learning_rate"] == hparams["learning_rate"]


@pytest.mark.parametrize(
    "shape", [schedules.linear, schedules.sigmoid, schedules.cyclical]
)
def test_no_warm_up_is_full_weight_from_the_first_step(shape):
    schedule = schedules.scale("kl_weight", shape)
    for hparams in (make_hparams(kl_weight=3.0, warmup_steps=0), {"kl_weight": 3.0}):
        assert schedule(jnp.asarray(0), hparams)["kl_weight"] == 3.0


def test_length_is_traced():
    calls = []

    @jax.jit
    def weight(step, hparams):
        calls.append(1)
        return schedules.scale("kl_weight", schedules.linear)(step, hparams)

    for length in (10, 20):
        hparams = make_hparams(kl_weight=1.0, warmup_steps=length)
        assert weight(jnp.asarray(5), hparams)["kl_weight"] == 5 / length
    assert len(calls) == 1
