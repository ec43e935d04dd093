"""A grid as an array of a real SLURM, and two processes of one run that it starts."""

import json
import os
import signal
import sys
import time

import pytest

from tests.forked_programs import run_program
from tests.runs.test_single import same_outcome
from tests.runs_helpers import REPOSITORY, devices, flags
from tests.slurm import cluster
from vae_jax.runs import members
from vae_jax.storage.records import read_json

MISSING = cluster.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"needs SLURM and munge; there is no {', '.join(MISSING)}"
        " (Debian: slurmctld slurmd slurm-client munge)",
    ),
]
STEPS = {"train.num_steps": 2000, "train.checkpoint_every": 100}
GRID = [
    "--config=configs/digits.py",
    "--sweep=hparams.kl_weight=0.5,1,2,4",
    "--seeds=2",
    "--mode=exact",
    *flags(**{**STEPS, "train.log_every": 100, "train.eval_every": 2000}),
]


@pytest.fixture(scope="module")
def slurm():
    with cluster.running() as found:
        own = os.path.dirname(sys.executable)
        found.environment["PATH"] = f"{own}:{found.environment['PATH']}"
        yield found


def kill_in_training(shard, number):
    """Sends a signal to the program of a shard once it has saved a checkpoint."""
    deadline = time.monotonic() + 600
    while not members.holds_checkpoint(shard):
        assert time.monotonic() < deadline, f"{shard} saves nothing"
        time.sleep(0.02)
    os.kill(json.loads((shard / ".lock").read_bytes())["pid"], number)


def test_an_array_with_shards_killed_equals_the_grid_of_one_process(slurm, tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    script = REPOSITORY / "examples" / "cluster" / "slurm.sh"
    job = slurm.run(
        "sbatch",
        "--parsable",
        "--cpus-per-task=2",
        f"--output={tmp_path}/%a.log",
        script,
        f"--workdir={parts}",
        *GRID,
        cwd=str(REPOSITORY),
    ).strip()
    kill_in_training(parts / "shards" / "1-of-8", signal.SIGKILL)
    kill_in_training(parts / "shards" / "2-of-8", signal.SIGTERM)
    slurm.wait(f"{job}_1", "R,CG")
    assert "JobState=FAILED" in slurm.run("scontrol", "show", "job", f"{job}_1")
    slurm.run("scontrol", "requeue", f"{job}_1")  # the other one does so by itself
    status, _, err = run_program("ablate", f"--workdir={whole}", *GRID)
    assert status == 0, err
    slurm.wait(job, "PD,R,CG")
    for index in (1, 2):
        assert "resuming from step" in (tmp_path / f"{index}.log").read_text()
    status, out, err = run_program(
        "report", f"--workdirs={parts}/shards/*", f"--out={tmp_path / 'report'}"
    )
    assert status == 0, err
    assert "missing" not in out and "failed" not in out, out
    folders = {run.name: run for run in parts.glob("shards/*/members/*")}
    assert set(folders) == set(read_json(whole / "grid.json")["members"])
    for name, folder in folders.items():
        same_outcome(folder, members.folder(whole, name))


def test_two_processes_that_srun_starts_are_one_run(slurm, tmp_path):
    slurm.environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": devices(1)}
    run = tmp_path / "run"
    slurm.run(
        "srun",
        "--ntasks=2",
        f"--output={tmp_path}/%t.log",
        *("python", "-m", "experiments.train", "--config=configs/digits.py"),
        *("--coordinator=auto", f"--workdir={run}", *flags()),
        cwd=str(REPOSITORY),
    )
    assert "one run on data=2 of 2" in (tmp_path / "0.log").read_text()
    assert read_json(run / "results.json")["step"] == 40
