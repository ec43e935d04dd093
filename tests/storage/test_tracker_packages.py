"""Each optional tracker against its real package, which is skipped where it is absent.

`make test-extras` installs them into an environment of their own.
"""

import functools
import json
import pathlib
import struct

import numpy as np
import pytest

from vae_jax.storage import trackers
from vae_jax.storage.trackers.base import About
from vae_jax.storage.trackers.several import Trackers

NAMES = ("kl_weight=0,seed=0", "kl_weight=1,seed=0")  # of the members of a grid
FIELDS = {"hparams.kl_weight": 4.0, "data.dir": "", "mlp.hidden_dims": (16, 8)}
PICTURE = np.full((4, 5, 3), 7, np.uint8)
SPREAD = np.arange(12.0)


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """Keeps what the packages write outside of a workdir in the test's folder."""
    # Trackio reads it when it is imported, which only its test does.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def track_a_grid(grid, name):
    """Two members: steps 10 and 20, then a kill, and 20 and 30 after a resume at 10."""
    chosen = trackers.selected([name])
    for start_step, steps, fields in ((0, (10, 20), FIELDS), (10, (20, 30), {})):
        begun = []
        for member in NAMES:
            workdir = grid / "members" / member
            workdir.mkdir(parents=True, exist_ok=True)
            about = About(workdir, member, "grid", grid, start_step, FIELDS | fields)
            begun.append(Trackers(chosen, about))
        for step in steps:
            for weight, one in enumerate(begun):
                one.scalars(step, {"train/elbo": -step - weight})
                one.images(step, {"eval/samples": PICTURE})
                one.histograms(step, {"eval/rate_per_image": SPREAD})
        for one in begun:
            assert one, f"{name} has failed, see the log"
            one.finish(succeeded=start_step > 0)


def wandb_records(path):
    """The records of a run file, which is a LevelDB log: of blocks of parts."""
    from wandb.proto import wandb_internal_pb2

    content, place, block, whole = path.read_bytes(), 7, 32768, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def as_dict(items):
    """Items of a wandb record; the keys of nested values are joined by a space."""
    return {
        item.key or " ".join(item.nested_key): json.loads(item.value_json)
        for item in items
    }


def test_wandb(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    track_a_grid(tmp_path / "grid", "wandb")
    ids, elbos, rows = {}, {}, {}
    for path in (tmp_path / "grid").glob("wandb/offline-run-*/run-*.wandb"):
        fields = {}
        for record in wandb_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                assert (run.project, run.run_group) == ("vae_jax", "grid")
                ids.setdefault(run.display_name, []).append(run.run_id)
                fields |= as_dict(run.config.update)
            elif kind == "history":
                row = as_dict(record.history.item)
                rows[row["step"]] = rows.get(row["step"], {}) | row
                if "train/elbo" in row:
                    elbos[run.display_name, row["step"]] = row["train/elbo"]
        assert fields["hparams.kl_weight"] == 4.0
    assert sorted(ids) == list(NAMES)
    assert [len(set(same)) for same in ids.values()] == [1, 1]  # it was resumed
    assert [len(same) for same in ids.values()] == [2, 2]
    expected = {(n, s): -s - w for w, n in enumerate(NAMES) for s in (10, 20, 30)}
    assert elbos == expected
    assert rows[30]["eval/samples _type"] == "image-file"
    assert sum(rows[30]["eval/rate_per_image values"]) == len(SPREAD)
    assert list(tmp_path.glob("grid/wandb/*/files/media/images/eval/*.png"))


def test_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    track_a_grid(tmp_path / "grid", "mlflow")
    client = mlflow.MlflowClient((tmp_path / "grid" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("vae_jax").experiment_id
    runs = client.search_runs([experiment], "tags.group = 'grid'")
    assert sorted(run.info.run_name for run in runs) == list(NAMES)
    for run in runs:
        weight = NAMES.index(run.info.run_name)
        history = client.get_metric_history(run.info.run_id, "train/elbo")
        assert {m.step: m.value for m in history} == {
            step: -step - weight for step in (10, 20, 30)
        }
        assert run.info.status == "FINISHED"
        assert run.data.params["mlp.hidden_dims"] == "(16, 8)"
        listed = functools.partial(client.list_artifacts, run.info.run_id)
        pictures = [f.path for f in listed("images") if f.path.endswith(".png")]
        assert len(pictures) == 4
        (folder,) = listed("histograms/eval")
        assert len(listed(folder.path)) == 3
        path = client.download_artifacts(run.info.run_id, f"{folder.path}/30.json")
        found = json.loads(pathlib.Path(path).read_text())
        assert sum(found["counts"]) == len(SPREAD)


def test_a_field_that_changed_is_a_tag_of_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    for start_step, num_steps in ((0, 100), (100, 200)):
        fields = {"train.num_steps": num_steps}
        about = About(tmp_path, "a run", start_step=start_step, fields=fields)
        Trackers(trackers.selected(["mlflow"]), about).finish(succeeded=True)
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("vae_jax").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.data.params["train.num_steps"] == "100"
    assert run.data.tags["train.num_steps"] == "200"


def test_trackio(tmp_path):
    trackio = pytest.importorskip("trackio", reason="needs the extra trackio")
    from trackio.sqlite_storage import SQLiteStorage

    track_a_grid(tmp_path / "grid", "trackio")
    runs = {run.name.partition(" (")[0]: run for run in trackio.Api().runs("vae_jax")}
    assert sorted(runs) == list(NAMES)
    for weight, name in enumerate(NAMES):
        run = runs[name]
        assert run.config["_Group"] == "grid"
        assert run.config["hparams.kl_weight"] == 4.0
        rows = SQLiteStorage.get_logs("vae_jax", run.name, run_id=run.id)
        elbos = {row["step"]: row["train/elbo"] for row in rows if "train/elbo" in row}
        assert elbos == {step: -step - weight for step in (10, 20, 30)}
        values = [value for row in rows for value in row.values()]
        kinds = {value["_type"] for value in values if isinstance(value, dict)}
        assert kinds == {"trackio.image", "trackio.histogram"}
