"""A run whose images do not fit on the device is the same run."""

import logging
import signal
import time

import pytest

from tests.forked_programs import Program, run_program
from tests.runs.test_single import same_outcome
from tests.runs_helpers import flags, sigterm_after, small_config
from vae_jax.errors import ConfigError
from vae_jax.runs import single

# The 1438 training images of the digits have 64 bytes each, a batch 1024.
BUDGETS = (0.05, 0.01, 0.005)  # chunks of 10 (all of log_every), 4 and 2


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("in_memory")
    single.train(small_config(), workdir)
    return workdir


@pytest.mark.parametrize("budget", BUDGETS)
def test_stream_equals_memory_bit_for_bit(in_memory, tmp_path, caplog, budget):
    with caplog.at_level(logging.INFO, "absl"):
        single.train(small_config(**{"data.device_budget_mb": budget}), tmp_path)
    assert "streaming: 0.09197 MB" in caplog.text
    same_outcome(in_memory, tmp_path)


@pytest.mark.parametrize("budget", [4096.0, 0.05])
def test_chunks_of_one_step_are_the_same_bit_for_bit(in_memory, tmp_path, budget):
    fields = {"train.log_every": 1, "data.device_budget_mb": budget}
    single.train(small_config(**fields), tmp_path)
    same_outcome(in_memory, tmp_path)


def test_going_on_with_another_budget(in_memory, tmp_path):
    with sigterm_after(2):
        single.train(small_config(**{"data.device_budget_mb": 0.05}), tmp_path)
    single.train(small_config(), tmp_path)
    same_outcome(in_memory, tmp_path)


def test_budget_below_four_batches_is_refused(tmp_path):
    config = small_config(**{"data.device_budget_mb": 0.004})
    with pytest.raises(ConfigError, match=r"device_budget_mb=0\.004: must hold four"):
        single.train(config, tmp_path)


@pytest.mark.slow
def test_kill_of_a_stream_equals_straight_in_memory(tmp_path):
    steps = {"train.num_steps": 2000, "train.checkpoint_every": 100}
    arguments = ["--config=configs/digits.py", *flags(**steps)]
    status, _, err = run_program("train", *arguments, f"--workdir={tmp_path / 'a'}")
    assert status == 0, err
    arguments += [f"--workdir={tmp_path / 'b'}", "--config.data.device_budget_mb=0.02"]
    process = Program("train", *arguments)
    deadline = time.monotonic() + 120
    while not (tmp_path / "b" / "checkpoints" / "200").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was over before the kill"
    status, _, err = run_program("train", *arguments)
    assert status == 0, err
    assert "resuming from step" in err and "streaming" in err
    same_outcome(tmp_path / "a", tmp_path / "b")
