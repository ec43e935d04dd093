import os
import pathlib
import subprocess
import sys
import textwrap

import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.errors import DataError
from vae_jax.storage.records import (
    MetricWriter,
    read_json,
    read_metrics,
    write_arrays,
    write_json,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_numbers_come_back_as_they_were_given(tmp_path):
    with MetricWriter(tmp_path / "new" / "run") as writer:
        for step in (10, 20):
            writer.scalars(
                step, {"train/elbo": -100.5 * step, "train/rate": jnp.float32(0.1)}
            )
        writer.scalars(20, {"eval/elbo": np.float64(-90)})
    workdir = tmp_path / "new" / "run"
    rate = float(np.float32(0.1))
    assert read_metrics(workdir / "metrics.jsonl") == [
        {"step": 10, "train/elbo": -1005.0, "train/rate": rate},
        {"step": 20, "train/elbo": -2010.0, "train/rate": rate},
        {"step": 20, "eval/elbo": -90.0},
    ]


def test_numbers_that_json_lacks_become_null(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.scalars(1, {"a": float("nan"), "b": np.inf, "c": jnp.float32(-np.inf)})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert line == '{"step": 1, "a": null, "b": null, "c": null}\n'


def test_resuming_drops_the_later_steps(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for step in range(0, 50, 10):
            writer.scalars(step, {"a": float(step)})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 50, "a"')  # killed here
    with MetricWriter(tmp_path, start_step=20) as writer:
        for step in (30, 40):
            writer.scalars(step, {"a": -float(step)})
    expected = [(0, 0.0), (10, 10.0), (20, 20.0), (30, -30.0), (40, -40.0)]
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [(r["step"], r["a"]) for r in records] == expected


def test_beginning_anew_drops_everything(tmp_path):
    for value in (1.0, 2.0):
        with MetricWriter(tmp_path) as writer:
            writer.scalars(0, {"a": value})
            writer.scalars(5, {"a": value})
    assert [r["a"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [2.0, 2.0]


def test_a_killed_run_keeps_every_line(tmp_path):
    program = """
        import os, signal, sys
        from vae_jax.storage.records import MetricWriter
        writer = MetricWriter(sys.argv[1])
        writer.scalars(1, {"a": 1.0})
        writer.flush()
        writer.scalars(2, {"a": 2.0})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_metric_named_step(tmp_path):
    with MetricWriter(tmp_path) as writer, pytest.raises(ValueError, match="step"):
        writer.scalars(1, {"step": 2.0})


def test_a_step_that_is_no_number_is_one_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1e999}\n{"step": 2}\n')
    with pytest.raises(DataError, match="line 1 is not a JSON object of numbers"):
        read_metrics(path)


def test_read_metrics_forgives_only_the_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "a"')
    assert read_metrics(path) == [{"step": 1}]
    path.write_text("")
    assert read_metrics(path) == []
    for damage in ("{", "[1]", '{"a": 1}', '{"step": null}'):
        path.write_text('{"step": 1}\n' + damage + '\n{"step": 3}\n')
        with pytest.raises(DataError, match=r"metrics\.jsonl, line 2 is not"):
            read_metrics(path)
        with pytest.raises(DataError, match="line 2"):
            MetricWriter(tmp_path, start_step=3)
        assert len(path.read_text().splitlines()) == 3
    with MetricWriter(tmp_path, start_step=0):  # which keeps none of them
        assert path.read_text() == ""
    with pytest.raises(DataError, match="none does not exist"):
        read_metrics(tmp_path / "none")


def test_json_round_trip(tmp_path):
    path = tmp_path / "results.json"
    write_json(
        path,
        {
            "z": jnp.float32(1.5),
            "a": np.int64(3),
            "nan": float("nan"),
            "nested": {
                "inf": np.inf,
                "tuple": (1, np.float32(np.nan), "x", None, True),
            },
            "array": jnp.arange(2),
        },
    )
    mapping = read_json(path)
    assert mapping == {
        "z": 1.5,
        "a": 3,
        "nan": None,
        "nested": {"inf": None, "tuple": [1, None, "x", None, True]},
        "array": [0, 1],
    }
    assert list(mapping) == ["z", "a", "nan", "nested", "array"]
    assert path.read_text().startswith('{\n  "z": 1.5,\n')


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="No space"):
        write_arrays(path, {"a": np.zeros(3)})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "is damaged: "),
        (b"\xff\xfe\x00", "is damaged: "),
        (b"[1]", "holds a list, not a JSON object"),
    ],
)
def test_damaged_json(tmp_path, content, message):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_json(path)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "none.json")
