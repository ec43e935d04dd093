"""Exported weights give the same model again, and their card says where it is from."""

import json
import shlex
import sys

import jax
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from configs import default
from tests.runs_helpers import REPOSITORY, small_config
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError, DataError, StorageError
from vae_jax.export import card, weights
from vae_jax.flat import flatten
from vae_jax.runs import identity, opened, single
from vae_jax.runs.best import abstract_saved
from vae_jax.storage.records import write_json

pytest.importorskip("safetensors", reason="needs the extra export")
DEFAULTS = flatten(default.get_config().to_dict())
SPEC = DataSpec((8, 8, 1), "8bit", 100, num_classes=3)
DATA = {"num_validation": 10, "num_test": 10, "fingerprint": 7, "labels": [3, 5, 9]}
UNTRAINED = {
    # With a state, which holds scalars, too.
    "vq": {
        "model.posterior": "vq",
        "model.prior": "uniform",
        "objective.name": "quantized",
        "vq.num_codes": 6,
        "vq.num_sites": 5,
    },
    "conditional": {"model.condition": "label"},
    "two layers": {"model.name": "ladder"},
}


def untrained(workdir, fields):
    """A run with any parameters, as if it had been trained in that folder."""
    config = small_config(**fields)
    data = {"name": "digits", **SPEC.to_json(), **DATA}
    identity.claim(workdir, config, data, identity.Standing(is_new=True))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.integers(1, 9, leaf.shape).astype(leaf.dtype),
        abstract_saved(config, SPEC).variables,
    )
    return opened.Run(workdir, config, SPEC, 20, variables, {})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """For each model its run, and the folder with its weights."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    fields = {"train.num_steps": 20, "train.eval_every": 0}
    single.train(small_config(**fields), folder / "plain")
    runs = {"plain": opened.open_run(folder / "plain")}
    runs |= {name: untrained(folder / name, own) for name, own in UNTRAINED.items()}
    for name, run in runs.items():
        out = folder / f"weights of {name}"
        weights.export_weights(run, out, DEFAULTS, "mit")
        found[name] = (run, out)
    return found


def test_the_same_model_is_opened_again(exported):
    for name, (run, out) in exported.items():
        again = weights.open_weights(out)
        assert again.step == run.step and again.digest == run.digest, name
        jax.tree.map(np.testing.assert_array_equal, run.variables, again.variables)
        assert type(again.variables) is type(run.variables), name
        assert again.labels == run.labels, name
    run, out = exported["conditional"]
    again = weights.open_weights(out)
    codes = np.ones((1, 3))
    means = [one.decode(codes, label=9).mean for one in (run, again)]
    np.testing.assert_array_equal(*means)


def test_no_file_is_more_than_arrays_json_and_text(exported):
    from safetensors.numpy import load_file

    run, out = exported["plain"]
    names = {path.name for path in out.iterdir()}
    told = {"README.md", "model.safetensors", "config.json", "data.json"}
    assert names == told | {"results.json", "export.json"}
    arrays = load_file(out / "model.safetensors")
    leaves = jax.tree.leaves(run.params)
    assert sum(a.size for a in arrays.values()) == sum(leaf.size for leaf in leaves)
    assert all("/" in name for name in arrays)


def test_damage_is_one_line(exported, tmp_path):
    from safetensors.numpy import load_file, save_file

    _, out = exported["plain"]

    def with_changes(name, **files):
        folder = tmp_path / name
        folder.mkdir()
        for path in out.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for path, content in files.items():
            (folder / path.replace("__", ".")).write_bytes(content)
        return folder

    arrays = load_file(out / "model.safetensors")
    first = next(iter(arrays))
    changed = with_changes("changed")
    save_file(arrays | {first: arrays[first] + 1}, changed / "model.safetensors")
    other = with_changes("other")
    less = {name: value for name, value in arrays.items() if name != first}
    save_file(less, other / "model.safetensors")
    config = json.loads((out / "config.json").read_bytes())
    config["model"]["latent_dim"] += 1
    misfit = with_changes("misfit")
    write_json(misfit / "config.json", config)
    about = json.loads((out / "export.json").read_bytes())
    lacking = [with_changes(f"no {key}") for key in ("step", "arrays")]
    for folder, key in zip(lacking, ("step", "arrays"), strict=True):
        write_json(folder / "export.json", {k: v for k, v in about.items() if k != key})
    for folder, message in [
        *[(folder, "export.json does not describe weights") for folder in lacking],
        (with_changes("cut", model__safetensors=b"12345678"), "can't be read: "),
        (changed, f"is damaged or of another model: {first}"),
        (other, f"{first} is missing in the checkpoint"),
        (misfit, "in the checkpoint and .* in the model"),
    ]:
        with pytest.raises(DataError, match=message) as found:
            weights.open_weights(folder)
        assert len(str(found.value).splitlines()) == 1
    with pytest.raises(ConfigError, match="holds no export"):
        weights.open_weights(tmp_path)
    with pytest.raises(ConfigError, match="is not empty"):
        weights.export_weights(exported["plain"][0], out, DEFAULTS, "mit")


def test_an_export_that_fails_leaves_nothing_behind(exported, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    run, _ = exported["plain"]
    with monkeypatch.context() as patch:
        patch.setattr(weights, "write_json", full)
        with pytest.raises(StorageError, match="can't be written: No space"):
            weights.export_weights(run, tmp_path / "out", DEFAULTS, "mit")
    assert list((tmp_path / "out").iterdir()) == []
    assert len(weights.export_weights(run, tmp_path / "out", DEFAULTS, "mit")) == 6


def test_the_card_says_where_the_model_is_from(exported):
    run, out = exported["plain"]
    text = (out / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    metadata = dict(line.split(": ", 1) for line in front.splitlines())
    read = {key: json.loads(value) for key, value in metadata.items()}
    assert (read["license"], read["library_name"]) == ("mit", "vae_jax")
    assert {"vae", "jax", "elbo"} <= set(read["tags"])
    (result,) = read["model-index"][0]["results"]
    results = identity.read_results(run.workdir)
    metrics = {entry["type"]: entry["value"] for entry in result["metrics"]}
    assert metrics["elbo"] == results["elbo"]
    assert "train_seconds" not in metrics and "nll_standard_error" not in metrics
    data = identity.read_data(run.workdir)
    for fact in (run.digest, str(data["fingerprint"]), "`mit`", "Bernoulli(v / 255)"):
        assert fact in body, fact
    assert all(" \n" not in line for line in body.splitlines())


def test_the_command_of_the_card_is_the_config(exported, monkeypatch):
    """Read by the flags of the programs, it gives the run's own config."""
    for name, (run, _) in exported.items():
        text = card.command(run.config.to_dict(), DEFAULTS)
        words = shlex.split(text.replace("\\\n", ""))
        assert words[:4] == ["python", "-m", "vae_jax", "train"]
        path = "configs/default.py"
        given = [word.replace(path, str(REPOSITORY / path)) for word in words[3:-1]]
        monkeypatch.setattr(sys, "argv", given)  # where the fields are looked for
        known = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=known)
        known(given)
        data = identity.read_data(run.workdir)
        assert identity.digest(known.config.to_dict(), data) == run.digest, name
        assert known.config.train.num_steps == run.config.train.num_steps, name
    own = default.get_config().to_dict()
    own["data"]["name"], own["train"]["init_from"] = "npz:/home/me/a.npz", "/home/me/b"
    command = card.command(own, DEFAULTS)
    assert "/home" not in command
    assert "--config.data.name=npz:PATH" in command.split()
    assert "--config.train.init_from=PATH" in command.split()
    own = default.get_config().to_dict() | {"imports": ("my_parts",)}
    assert "--import=my_parts" in card.command(own, DEFAULTS).split()


def test_the_hub_reads_the_card(exported):
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    _, out = exported["plain"]
    read = hub.ModelCard.load(out / "README.md").data
    assert (read.license, read.pipeline_tag) == ("mit", card.TASK)
    elbo = next(found for found in read.eval_results if found.metric_type == "elbo")
    assert (elbo.dataset_name, elbo.metric_name) == ("digits", "ELBO, nats")
    assert hub.ModelCardData(**read.to_dict()).to_yaml()


def test_without_a_licence_the_card_says_so(exported):
    run, _ = exported["plain"]
    text = card.model_card(run, None, DEFAULTS, card.UNKNOWN)
    assert 'license: "unknown"' in text and "Nobody has said" in text
    assert "model-index" not in text and "is not finished" in text
