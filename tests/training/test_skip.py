"""Updates that are left out because their gradient is too large."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from tests.training.small import HPARAMS, KEY, X, jit, make
from tests.training.test_carried import STATEFUL, Told
from vae_jax.errors import ConfigError


def scaled(output, x, hparams):
    """The ELBO's loss times a traced number, and so its gradient."""
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    return hparams["scale"] * loss, metrics


def differences(a, b):
    """Names of the fields of two states that differ."""
    fields = ("step", "params", "opt_state", "ema_params", "model_state")

    def differ(p, q):
        return not np.array_equal(p, q)

    return {
        name
        for name in fields
        if any(jax.tree.leaves(jax.tree.map(differ, vars(a)[name], vars(b)[name])))
    }


@pytest.fixture(scope="module")
def trainer():
    """A model with state, an optimiser with state, and a running average."""
    return make(
        Told(STATEFUL["batch"]),
        scaled,
        optax.adam(0.1),
        ema_decay=0.9,
        skip_norm=100.0,
    )


def test_a_huge_gradient_changes_nothing_but_the_number_of_steps(trainer):
    """Of one member of an ensemble, whose others make their step."""
    scales = jnp.asarray([1.0, 1e6, jnp.inf, jnp.nan])
    hparams = {"kl_weight": jnp.ones(len(scales)), "scale": scales}
    step = jit(jax.vmap(trainer.step, in_axes=(None, None, None, 0)))
    before = jit(trainer.init)(KEY, X)
    after, metrics = step(before, X, KEY, hparams)
    np.testing.assert_array_equal(metrics["skipped"], [0, 1, 1, 1])
    members = [jax.tree.map(lambda leaf, m=m: leaf[m], after) for m in range(4)]
    everything = {"step", "params", "opt_state", "ema_params", "model_state"}
    assert differences(before, members[0]) == everything
    for member in members[1:]:
        assert differences(before, member) == {"step"}
        assert member.step == 1
    # A loss that is not finite can still be seen.
    assert list(np.isfinite(metrics["loss"])) == [True, True, False, False]


def test_a_step_that_is_not_left_out_has_the_bits_of_one_without_a_limit():
    after = [
        jit(trainer.step)(trainer.init(KEY, X), X, KEY, HPARAMS)
        for trainer in (make(skip_norm=1e9), make())
    ]
    jax.tree.map(np.testing.assert_array_equal, after[0][0], after[1][0])
    assert "skipped" not in after[1][1]


def test_a_limit_is_a_number_above_0():
    for value in (0, -1.0, float("nan"), "10", True):
        with pytest.raises(ConfigError, match="skip_norm=.*must be a number above 0"):
            make(skip_norm=value)
