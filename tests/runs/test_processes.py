"""Two processes on one machine are one run: they meet, stop, go on, fail together."""

import shutil
import signal
import socket
import time

import pytest

from tests.forked_programs import Program, run_program
from tests.runs.test_single import same_outcome
from tests.runs_helpers import devices, flags
from vae_jax.storage.records import read_json

pytestmark = pytest.mark.slow
LIMIT_S = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(arguments, *, count=2, port=None, own=({}, {}), timeout_s=60):
    """`count` processes of one run on the CPU; own: further flags of each."""
    port = port or free_port()
    place = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
    place.append(f"--coordinator_timeout_s={timeout_s}")
    return [
        Program(
            "train",
            *arguments,
            *place,
            f"--process_id={i}",
            *(f"--config.{name}={value}" for name, value in own[i].items()),
            JAX_PLATFORMS="cpu",
            XLA_FLAGS=devices(1),
        )
        for i in range(count)
    ]


def finish(processes):
    """Exit status and stderr of each; none may hang."""
    try:
        told = [process.communicate(timeout=LIMIT_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, err) for p, (_, err) in zip(processes, told, strict=True)]


def arguments_for(workdir, **fields):
    config = ["--config=configs/digits.py", f"--workdir={workdir}"]
    return [*config, *flags(**{"train.num_steps": 20, **fields})]


def wait_for_checkpoint(workdir, step, processes):
    deadline = time.monotonic() + LIMIT_S
    while not (workdir / "checkpoints" / str(step)).exists():
        assert all(process.poll() is None for process in processes), finish(processes)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kill_of_one_then_both_again_or_one_alone(tmp_path):
    steps = {"train.num_steps": 400, "train.checkpoint_every": 50}
    straight, killed, alone = (tmp_path / n for n in ("straight", "killed", "alone"))
    for status, err in finish(start(arguments_for(straight, **steps))):
        assert status == 0, err

    processes = start(arguments_for(killed, **steps), timeout_s=10)
    wait_for_checkpoint(killed, 50, processes)
    processes[1].kill()
    (first, _), (second, _) = finish(processes)
    assert second == -signal.SIGKILL, "it was over before the kill"
    assert first != 0  # it neither hangs nor goes on alone
    shutil.copytree(killed, alone)

    told = finish(start(arguments_for(killed, **steps)))
    assert [status for status, _ in told] == [0, 0], told
    assert "resuming from step" in told[0][1]
    same_outcome(straight, killed)

    status, _, err = run_program("train", *arguments_for(alone, **steps))
    assert status == 0, err
    assert "resuming from step" in err
    wanted, found = (read_json(run / "results.json") for run in (straight, alone))
    for name in ("elbo", "rate", "distortion", "nll"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-2), name


def test_sigterm_to_one_stops_both_at_a_checkpoint(tmp_path):
    steps = {"train.num_steps": 100_000, "train.checkpoint_every": 100}
    processes = start(arguments_for(tmp_path / "run", **steps))
    wait_for_checkpoint(tmp_path / "run", 100, processes)
    processes[1].terminate()
    told = finish(processes)
    assert [status for status, _ in told] == [143, 143], told
    assert "run the same command to resume" in told[0][1]


def test_processes_with_different_configs_are_refused(tmp_path):
    own = ({}, {"hparams.learning_rate": 0.01})
    for status, err in finish(start(arguments_for(tmp_path / "run"), own=own)):
        assert status == 1, err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert "hparams.learning_rate is 0.001 in process 0 and 0.01 in" in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_batch_that_two_processes_cannot_share_is_refused(tmp_path):
    arguments = arguments_for(tmp_path / "run", **{"data.batch_size": 15})
    for status, err in finish(start(arguments)):
        assert status == 1, err
        assert "the 15 images of a batch can't be divided evenly among 2" in err


def test_a_coordinator_that_does_not_answer(tmp_path):
    first, second = start(arguments_for(tmp_path / "run"), timeout_s=5)
    first.kill()
    (_, (status, err)) = finish([first, second])
    assert status == 1
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "--coordinator=127.0.0.1:" in line
    assert "--coordinator_timeout_s=5" in line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--coordinator=nowhere"], "--coordinator=nowhere: must be HOST:PORT or auto"),
        (["--num_processes=2"], "need --coordinator=HOST:PORT"),
        (
            ["--coordinator=127.0.0.1:1", "--num_processes=2", "--process_id=2"],
            "--process_id=2: the number must be above 0",
        ),
        (["--mesh=data=x"], "--mesh=data=x: expected member=N"),
        (["--mesh=data=64"], "--mesh=data=64: its 64 devices must divide the"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, given, message):
    status, _, err = run_program("train", *arguments_for(tmp_path / "run"), *given)
    assert status == 1
    (line,) = [line for line in err.splitlines() if "error: " in line]
    assert message in line
    assert not (tmp_path / "run").exists()
