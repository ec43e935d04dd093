"""Which configs are the same run, and what the small files of a workdir may hold."""

import dataclasses
import json

import numpy as np
import pytest

from tests.runs_helpers import small_config
from vae_jax.data.dataset import Dataset, Split
from vae_jax.errors import ConfigError, DataError
from vae_jax.flat import flatten
from vae_jax.runs import identity, opened, train_program
from vae_jax.storage.records import read_json, write_json

DATASET = Dataset(
    "npz:a.npz", *(Split(np.full((9, 2, 2, 1), i, np.uint8)) for i in range(3))
)
DATA = identity.describe(DATASET)


def claim(workdir, has_checkpoint=True, **fields):
    """A workdir as a run of that config leaves it."""
    standing = identity.Standing(is_new=True)
    identity.claim(workdir, small_config(**fields), DATA, standing)
    if has_checkpoint:
        (workdir / "checkpoints" / "40").mkdir(parents=True)
    return workdir


FREE = {
    "data.dir": "elsewhere",
    "data.device_budget_mb": 7.0,
    "train.log_every": 3,
    "train.checkpoint_every": 5,
    "train.max_to_keep": 9,
    "train.trackers": ("wandb",),
    "eval.num_samples": 77,
    "eval.measures": ("likelihood", "misleading"),
    "eval.figures": True,
}


def test_every_field_is_free_or_part_of_the_run(tmp_path):
    """One table over all fields: a new one must take its place here."""
    workdir = claim(tmp_path / "run")
    flat = flatten(small_config().to_dict())
    assert FREE.keys() == {field for field in flat if identity.is_free(field)}
    digest = identity.digest(small_config().to_dict(), DATA)
    assert identity.digest(flat, DATA) == digest
    for field, value in flat.items():
        other = FREE.get(field)
        if other is None:
            other = {
                bool: lambda v: not v,
                int: lambda v: v + 1,
                float: lambda v: v + 0.125,
                str: lambda v: f"{v}x",
                tuple: lambda v: (*v, 9),
            }[type(value)](value)
        config = small_config(**{field: other})
        changed = identity.digest(config.to_dict(), DATA) != digest
        if field in FREE or field == identity.LENGTH:
            standing = identity.compare(workdir, config)
            assert standing == identity.Standing(False, (field,)), field
            assert not changed, field
            is_eval = field.startswith("eval.")
            assert standing.reopens == (is_eval or field == identity.LENGTH)
        else:
            with pytest.raises(ConfigError, match=f"another config: {field}"):
                identity.compare(workdir, config)
            assert changed, field


def test_paths_are_free_and_their_content_is_not(tmp_path):
    workdir = claim(tmp_path / "run", **{"data.name": "npz:/a/x.npz"})
    moved = small_config(**{"data.name": "npz:/b/y.npz"})
    assert identity.compare(workdir, moved).changed == ("data.name",)
    with pytest.raises(ConfigError, match="another config: data.name"):
        identity.compare(workdir, small_config(**{"data.name": "folder:/a"}))
    renamed = Dataset(
        "npz:/b/y.npz", *(DATASET.train, DATASET.validation, DATASET.test)
    )
    identity.check_same_data(workdir, identity.describe(renamed))
    other = dataclasses.replace(DATASET, train=DATASET.test)
    with pytest.raises(DataError, match="fingerprint is"):
        identity.check_same_data(workdir, identity.describe(other))
    one, two = (
        identity.digest(small_config().to_dict(), identity.describe(dataset))
        for dataset in (DATASET, other)
    )
    assert one != two


def test_what_depends_on_the_length_cannot_be_longer(tmp_path):
    longer = {"train.num_steps": 80, "optimizer.schedule": "cosine"}
    workdir = claim(tmp_path / "run", **{"optimizer.schedule": "cosine"})
    with pytest.raises(ConfigError, match=r"schedule=cosine depends .* --init_from"):
        identity.compare(workdir, small_config(**longer))
    workdir = claim(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"train.num_steps \(40 there, 20 here\)"):
        identity.compare(workdir, small_config(**{"train.num_steps": 20}))


def test_a_workdir_without_a_checkpoint_may_be_taken(tmp_path):
    workdir = claim(tmp_path / "run", has_checkpoint=False)
    other = small_config(**{"hparams.learning_rate": 0.5})
    assert identity.compare(workdir, other).is_new
    with pytest.raises(ConfigError, match="another config"):
        identity.compare(workdir, other, has_checkpoint=True)
    (workdir / "results.json").write_text("{}")
    with pytest.raises(ConfigError, match="another config"):
        identity.compare(workdir, other)


def test_results_are_kept_when_a_run_is_opened_again(tmp_path):
    workdir = claim(tmp_path / "run")
    write_json(workdir / "results.json", {"elbo": -1.0})
    config = small_config(**{"train.num_steps": 80})
    standing = identity.compare(workdir, config)
    identity.claim(workdir, config, DATA, standing)
    assert not (workdir / "results.json").exists()
    assert read_json(workdir / "results.previous.json") == {"elbo": -1.0}
    assert read_json(workdir / "config.json")["train"]["num_steps"] == 80


def test_results_without_their_config_are_of_no_run(tmp_path):
    """Who removes config.json wants to begin anew, perhaps with another config."""
    workdir = claim(tmp_path / "run")
    write_json(workdir / "results.json", {"elbo": -1.0})
    config = small_config()
    standing = identity.compare(workdir, config)
    assert train_program.finished([workdir], [standing]) == [{"elbo": -1.0}]
    (workdir / "config.json").unlink()
    standing = identity.compare(workdir, config)
    assert train_program.finished([workdir], [standing]) is None
    identity.claim(workdir, config, DATA, standing)
    assert not (workdir / "results.json").exists()
    assert read_json(workdir / "results.previous.json") == {"elbo": -1.0}


def test_a_config_without_its_length_is_another_one(tmp_path):
    workdir = claim(tmp_path / "run")
    saved = read_json(workdir / "config.json")
    del saved["train"]["num_steps"]
    write_json(workdir / "config.json", saved)
    with pytest.raises(ConfigError, match=r"train.num_steps \(None there, 40 here\)"):
        identity.compare(workdir, small_config())


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data.json", '{"image_shape": [8, 8]}', "must be three whole numbers"),
        (
            "data.json",
            '{"image_shape": [8, 8, 1], "levels": "8bit", "train": 9, "test": 9}',
            "there is no num_train; another version of vae_jax wrote this file",
        ),
        ("data.json", "[1]", "holds a list, not a JSON object"),
        ("config.json", '{"a": ' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("config.json", "{}", "no field"),
        ("config.json", ("latent_dim", "16"), "model.latent_dim='16': must be"),
        ("config.json", ("latent_dim", None), "model.latent_dim=None: must be"),
        ("config.json", ("latent_dim", [1]), "model.latent_dim=[1]: must be"),
        ("config.json", ("dtype", 3), "model.dtype=3: must be one of"),
        ("config.json", ("dtype", {"a": 1}), "wrong type"),
        ("config.json", ("latent_dim", -1), "config.json: model.latent_dim=-1"),
    ],
)
def test_files_edited_by_hand_are_one_line(tmp_path, file, text, message, caplog):
    workdir = claim(tmp_path / "run")
    if isinstance(text, tuple):
        config = read_json(workdir / file)
        config["model"][text[0]] = text[1]
        text = json.dumps(config)
    (workdir / file).write_text(text)
    with pytest.raises((ConfigError, DataError)) as caught:
        opened.open_run(workdir)
    assert message in str(caught.value)
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["text", [1.0], {"a": 1}, True])
def test_results_hold_numbers_only(tmp_path, value):
    write_json(tmp_path / "results.json", {"step": 40, "nll_standard_error": value})
    with pytest.raises(
        DataError, match="results.json: nll_standard_error is .* number"
    ):
        identity.read_results(tmp_path)


def test_a_changed_number_is_noticed(tmp_path, caplog):
    workdir = claim(tmp_path / "run")
    identity.read_config(workdir)
    assert caplog.text == ""
    path = workdir / "config.json"
    path.write_text(path.read_text().replace('"kl_weight": 1.0', '"kl_weight": 2.0'))
    assert identity.read_config(workdir).hparams.kl_weight == 2.0
    assert (
        f"{path} has changed since it was written: its checksum is wrong" in caplog.text
    )
