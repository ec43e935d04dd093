"""The torture once through, and that its instruments see what is wrong."""

import errno
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from tests.runs_helpers import REPOSITORY
from tests.torture import faults, snapshot
from tests.torture.faults import Mode
from tests.torture.trials import TRIALS

PROGRAM = """
    import os, sys
    from tests.torture.faults import _arm
    folder, counter, nth, mode, error = sys.argv[1:]
    _arm(folder.encode(), counter.encode(), int(nth), int(mode), int(error))
    os.mkdir(f"{folder}/a")
    for name in ("first", "second"):
        try:
            with open(f"{folder}/a/{name}.tmp", "wb", buffering=0) as file:
                file.write(b"12345678")
                os.fsync(file.fileno())
            os.replace(f"{folder}/a/{name}.tmp", f"{folder}/a/{name}")
        except OSError as error:
            print(name, error.errno)
"""
EACH = 4  # operations for one file


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    library = faults.compile_library(tmp_path_factory.mktemp("library"))
    if library is None:
        pytest.skip("there is no C compiler")
    return library


@pytest.fixture
def run(library, tmp_path):
    """Runs PROGRAM with a fault: its status and output, and the record."""

    def run(nth=0, mode=Mode.COUNT, error=0):
        counter = tmp_path / "counter"
        faults.arming(tmp_path / "work", counter)  # makes the file
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                textwrap.dedent(PROGRAM),
                *map(str, (tmp_path / "work", counter, nth, int(mode), error)),
            ],
            env={**os.environ, "LD_PRELOAD": str(library)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.split(), faults.read_record(counter)

    (tmp_path / "work").mkdir()
    return run


def test_each_operation_is_counted(run):
    status, out, record = run()
    assert (status, out) == (0, [])
    assert record == faults.Record(1 + 2 * EACH, False, "")


def test_a_crash_leaves_half_a_write(run, tmp_path):
    status, _, record = run(3, Mode.CRASH)
    assert status == faults.CRASHED
    assert record == faults.Record(3, True, "write /a/first.tmp")
    files = [path.name for path in (tmp_path / "work" / "a").iterdir()]
    assert files == ["first.tmp"]
    assert (tmp_path / "work" / "a" / "first.tmp").read_bytes() == b"1234"


def test_an_error_comes_once_or_from_there_on(run):
    _, out, record = run(5, Mode.ONCE, errno.EIO)
    assert out == ["first", str(errno.EIO)]
    assert record.what == "rename /a/first"


def test_a_full_disk_stays_full(run):
    _, out, _ = run(5, Mode.FULL, errno.ENOSPC)
    assert out == [w for n in ("first", "second") for w in (n, str(errno.ENOSPC))]


def test_a_gap_in_the_metrics_is_seen():
    straight = snapshot.Snapshot(
        {"checkpoints/1": "a", "checkpoints/2": "b"},
        {"metrics.jsonl": b"1\n2\n"},
        {"results.json": {"elbo": 1}},
    )
    assert not snapshot.differences(straight, straight)
    assert not snapshot.differences(
        snapshot.Snapshot({"checkpoints/2": "b"}, straight.metrics, straight.results),
        straight,
    )
    for other in (
        snapshot.Snapshot({"checkpoints/1": "a"}, straight.metrics, straight.results),
        snapshot.Snapshot({"checkpoints/2": "a"}, straight.metrics, straight.results),
        snapshot.Snapshot(straight.states, {"metrics.jsonl": b"2\n"}, straight.results),
        snapshot.Snapshot(
            straight.states, straight.metrics, {"results.json": {"elbo": 2}}
        ),
        snapshot.Snapshot(straight.states, straight.metrics, {}),
    ):
        assert len(snapshot.differences(other, straight)) == 1


@pytest.mark.slow
def test_no_promise_is_broken():
    """The long form, ten minutes of it, is in docs/reliability.md."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--rounds=1", "--seed=0"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for trial in TRIALS.values():
        assert f"| {trial.what} | {trial.promised} | " in done.stdout


def test_the_page_has_the_table_of_the_trials():
    page = pathlib.Path(REPOSITORY, "docs", "reliability.md").read_text()
    for trial in TRIALS.values():
        assert f"| {trial.what} | {trial.promised} | " in page
