"""One step on many devices: same numbers, and gradients summed once."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runs_helpers import REPOSITORY, devices
from vae_jax.errors import ConfigError
from vae_jax.training.mesh import on_one_device, parse_mesh

RTOL = 1e-5


@pytest.fixture(scope="module")
def eight():
    """What tests/training/eight_devices.py prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.eight_devices"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": devices(8),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("single", "single data=8"),
        ("single", "single data=8 streamed"),
        ("ensemble", "ensemble data=8"),
        ("ensemble", "ensemble member=8"),
        ("ensemble", "ensemble member=4,data=2"),
    ],
)
def test_metrics_of_the_last_of_30_steps_are_those_of_one_device(eight, one, many):
    wanted, found = (eight["told"][name]["metrics"] for name in (one, many))
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=RTOL, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "members_per_device"),
    [
        ("single data=8", 1),
        ("single data=8 streamed", 1),
        ("ensemble data=8", 8),
        ("ensemble member=4,data=2", 2),
    ],
)
def test_gradients_are_summed_once_over_the_axis_data(eight, name, members_per_device):
    told = eight["told"][name]
    members = len(np.atleast_1d(told["metrics"]["loss"]))
    gradients = told["parameters"] // members * members_per_device
    # Each number once, and with them metrics and the rate of each latent dimension.
    metrics = 16 * members_per_device
    (size,) = told["all-reduce"]
    assert gradients < size <= gradients + metrics
    assert told["other"] == 0


@pytest.mark.slow
def test_each_device_draws_its_own_images(eight):
    assert eight["drawing"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("single", "single data=8"),
        ("ensemble", "ensemble data=8"),
    ],
)
def test_each_device_draws_its_own_noise(eight, one, many):
    one, many = (eight["told"][name]["random"] for name in (one, many))
    assert one == 8 * many


@pytest.mark.slow
@pytest.mark.parametrize("name", ["single", "ensemble", "ensemble member=8"])
def test_members_and_single_devices_do_not_talk(eight, name):
    assert eight["told"][name]["all-reduce"] == []
    assert eight["told"][name]["other"] == 0


@pytest.mark.slow
def test_states_lie_along_members(eight):
    assert eight["told"]["ensemble member=8"]["shards"] == "P('member',)"
    assert eight["told"]["single data=8"]["shards"] == "P()"


@pytest.mark.slow
def test_meshes_that_do_not_fit_are_refused(eight):
    assert eight["refused"] == [
        "--mesh=data=3: its 3 devices must divide the 8 available",
        "--mesh=data=16: its 16 devices must divide the 8 available",
        "--mesh=data=8: must divide the 12 images of a batch (data.batch_size)",
        "--mesh=member=4: must divide the 6 members that are computed side by side",
        "--mesh=member=2: must divide the 1 members that are computed side by side",
    ]


@pytest.mark.slow
def test_natural_mesh_uses_the_most_devices_that_divide(eight):
    assert eight["chosen"] == [
        {"member": 1, "data": 8},
        {"member": 1, "data": 5},
        {"member": 6, "data": 1},
        {"member": 3, "data": 1},
        {"member": 1, "data": 1},
    ]


def test_parse_mesh():
    assert parse_mesh("") is None
    assert parse_mesh("data=8") == {"data": 8}
    assert parse_mesh("member=4, data=2") == {"member": 4, "data": 2}


@pytest.mark.parametrize(
    "text",
    [
        "8",
        "data",
        "data=0",
        "data=-1",
        "data=x",
        "data=²",
        "rows=2",
        "data=2,data=2",
        ",",
    ],
)
def test_bad_mesh_is_one_line(text):
    with pytest.raises(ConfigError, match=f"^--mesh={text}: expected member=N"):
        parse_mesh(text)


def test_a_copy_on_one_device_keeps_numbers_and_keys():
    tree = {"numbers": jnp.arange(3.0), "key": jax.random.key(7, impl="rbg")}
    copy = on_one_device(tree)
    np.testing.assert_array_equal(copy["numbers"], tree["numbers"])
    assert copy["key"].dtype == tree["key"].dtype
    np.testing.assert_array_equal(
        jax.random.bits(copy["key"], (4,)), jax.random.bits(tree["key"], (4,))
    )
