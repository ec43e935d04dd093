"""Names of hparams that are missing, misspelt or read by nothing."""

import jax
import jax.numpy as jnp
import pytest

import vae_jax
from tests.training.small import step_of
from vae_jax import schedules
from vae_jax.errors import ContractError

WARM_UP = {"schedule": schedules.scale("kl_weight", schedules.linear)}
BY_RATE = {"tx": vae_jax.scale_by_hparam()}
NAMES = {
    "nothing": (
        {},
        {},
        r"no 'kl_weight', which the objective reads.*\(kl_weight=1.0\)",
    ),
    "misspelt": ({"kl_wieght": 1.0}, {}, "no 'kl_weight'.* There is kl_wieght"),
    "for the schedule": ({}, WARM_UP, "no 'kl_weight', which the schedule reads"),
    "for the optimiser": (
        {"kl_weight": 1.0},
        BY_RATE,
        "no 'learning_rate', which the optimiser reads",
    ),
    "nearly free_nats": (
        {"kl_weight": 1.0, "free_nat": 9.0},
        {},
        r"'free_nat', which nothing reads: did you mean 'free_nats'\? \(read: free_n",
    ),
    "no schedule": (
        {"kl_weight": 1.0, "warmup_steps": 9},
        {},
        "'warmup_steps', which nothing reads: a schedule reads it, such as",
    ),
    "no scale_by_hparam": (
        {"kl_weight": 1.0, "learning_rate": 9},
        {},
        "'learning_rate', which nothing reads: vae_jax.scale_by_hparam",
    ),
    "under a schedule": (
        {"kl_weight": 1.0, "warmup_steps": 9, "gamma": 1.0},
        WARM_UP,
        r"'gamma', which nothing reads: leave it out",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_hparams_that_are_missing_or_read_by_nothing(name):
    values, options, message = NAMES[name]
    with pytest.raises(ContractError, match=message) as found:
        step_of(hparams=vae_jax.make_hparams(**values), **options)
    assert "\n" not in str(found.value)


def test_hparams_that_are_no_dict():
    for hparams in (None, jnp.ones(()), [1.0]):
        with pytest.raises(ContractError, match=r"hparams is of type .*make_hparams\("):
            step_of(hparams=hparams)
    with pytest.raises(ContractError, match="what the schedule returned is of type"):
        step_of(schedule=lambda step, hparams: 0.5)


def test_all_ways_to_read_hparams_count():
    """What is copied whole may be read out of sight, so it is never complained of."""
    hparams = vae_jax.make_hparams(kl_weight=1.0, mine=2.0)

    def objective(change):
        return lambda output, x, h: vae_jax.elbo_loss(output, x, change(h))

    @jax.jit
    def through_jit(h):
        return {"kl_weight": h["kl_weight"] * h["mine"]}

    for change in (
        lambda h: h | {"kl_weight": h["mine"]},
        lambda h: {**h, "kl_weight": h["kl_weight"]},
        dict,
        lambda h: dict(h.items()),
        lambda h: {"kl_weight": sum(h.values())},
        lambda h: {"kl_weight": sum(h[name] for name in h)},
        lambda h: {"kl_weight": h["kl_weight"] * h.get("mine")},
        lambda h: {"kl_weight": h["kl_weight"] * h.copy().pop("mine")},
        lambda h: {"kl_weight": h["kl_weight"] * h.copy().setdefault("mine", 1.0)},
        lambda h: {"kl_weight": 2 * h["kl_weight"]} if "mine" in h else h,
        lambda h: jax.tree.map(jnp.sqrt, h),
        through_jit,
    ):
        step_of(objective(change), hparams)
        step_of(schedule=lambda step, h, change=change: change(h), hparams=hparams)
    for silent in (lambda h: h | {}, lambda h: h.copy()):
        with pytest.raises(ContractError, match="'mine', which nothing reads"):
            step_of(objective(silent), hparams)
