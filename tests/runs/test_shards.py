"""A grid in shards: cut, trained apart, refused where strange, and put together."""

import pathlib
import shutil

import pytest

from tests.forked_programs import run_program
from tests.runs.test_single import same_outcome
from tests.runs_helpers import flags, small_config
from vae_jax.errors import ConfigError, DataError
from vae_jax.runs import finished, grid, members, shards, single, sweep, tracking
from vae_jax.runs.shards import Shard, parse_shard
from vae_jax.storage.records import read_json, write_json

SWEEP = ["hparams.kl_weight=0.5,2", "model.latent_dim=2,3"]
COUNT = 3
QUICK = {"train.num_steps": 10, "train.checkpoint_every": 10}
COMMAND = ["python", "-m", "vae_jax", "ablate", "--workdir=a b"]


def train(workdir, index=None, sweeps=SWEEP, mode="exact", count=COUNT, **fields):
    shard = None if index is None else Shard(index, count, COMMAND)
    config = small_config(**{**QUICK, **fields})
    return grid.train_grid(config, workdir, sweeps, 1, mode=mode, shard=shard)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The grid in one process and in shards."""
    whole, parts = (tmp_path_factory.mktemp(name) for name in ("whole", "parts"))
    rows = train(whole)
    for index in range(COUNT):
        train(parts, index)
    return whole, parts, rows


def test_shards_equal_the_grid_of_one_process_bit_for_bit(trained):
    whole, parts, rows = trained
    runs = finished.read_finished(finished.split_workdirs(f"{parts}/shards/*"))
    assert [row["name"] for row in runs.rows] == [row["name"] for row in rows]
    assert set(runs.swept) == {"hparams.kl_weight", "model.latent_dim"}
    for folder, row in zip(runs.folders, rows, strict=True):
        same_outcome(folder, members.folder(whole, row["name"]))
        about = tracking.about(small_config(), folder, 0)
        assert (about.name, about.group) == (row["name"], parts.name)
    (found,) = runs.grids
    assert (found.missing, found.locked, found.sentences) == ({}, [], [])
    assert found.commands == [
        "for i in $(seq 0 2); do python -m vae_jax ablate '--workdir=a b'"
        " --shard=$i/3; done"
    ]
    by_name = {row["name"]: row for row in finished.read_finished([whole]).rows}
    assert {row["name"] for row in runs.rows} == set(by_name)


def test_a_shard_may_be_the_current_folder(trained, monkeypatch):
    _, parts, _ = trained
    monkeypatch.chdir(parts / "shards" / "0-of-3")
    for given in (".", "../0-of-3"):
        (found,) = finished.read_finished([pathlib.Path(given)]).grids
        assert len(found.runs) == len(members_of(parts, 0)) and not found.missing
    both = finished.read_finished(finished.split_workdirs(".,../1-of-3"))
    assert len(both.grids) == 1
    monkeypatch.chdir(parts)
    assert len(finished.read_finished([pathlib.Path()]).rows) == 4


def members_of(parts, index):
    return read_json(parts / "shards" / f"{index}-of-3" / "grid.json")["members"]


def test_what_is_missing_is_listed_with_the_command_that_trains_it(trained, tmp_path):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "shards" / "1-of-3")  # has not begun
    names = list(read_json(tmp_path / "shards" / "2-of-3" / "grid.json")["members"])
    (members.folder(tmp_path / "shards" / "2-of-3", names[0]) / "results.json").unlink()
    for workdirs in (f"{tmp_path}/shards/*", str(tmp_path)):
        runs = finished.read_finished(finished.split_workdirs(workdirs))
        (found,) = runs.grids
        assert set(found.missing.values()) == {1, 2}
        assert len(runs.rows) == len(found.missing) == 2
        assert "members are missing" in found.sentences[0]
        assert found.sentences[1].startswith("for i in 1 2; do python -m")
        assert found.sentences[2].endswith("array of jobs: 1,2")
        assert found.commands[2] == found.sentences[1]
        assert found.commands[3] == f"# {found.sentences[2]}"
    (found,) = finished.read_finished([tmp_path / "shards" / "0-of-3"]).grids
    assert set(found.missing.values()) == {1}, "one that was left out is not missing"
    shutil.rmtree(tmp_path / "shards" / "0-of-3")
    shutil.rmtree(tmp_path / "shards" / "2-of-3")
    with pytest.raises(ConfigError, match="none of the 4 members has finished; to"):
        finished.read_finished([tmp_path])


def test_strangers_are_refused_in_training(trained, tmp_path):
    _, parts, _ = trained
    before = (parts / "shards" / "manifest.json").read_bytes()
    for strange in (
        {"sweeps": ["hparams.kl_weight=0.5,2,4"]},
        {"mode": "vmap"},
        {"count": 2},
        {"optimizer.name": "sgd"},
    ):
        with pytest.raises(ConfigError, match="3 shards of another grid, of 4 members"):
            train(parts, 0, **strange)
    assert (parts / "shards" / "manifest.json").read_bytes() == before
    with pytest.raises(ConfigError, match="holds a grid in shards: give --shard"):
        train(parts)
    with pytest.raises(ConfigError, match="holds a grid: choose another"):
        single.train(small_config(), parts)
    with pytest.raises(ConfigError, match="has 4 members, so at most 4 shards"):
        train(tmp_path, 0, count=5)
    with pytest.raises(ConfigError, match="holds a whole grid"):
        train(trained[0], 0)


def test_a_mistake_that_trained_nothing_gives_way(tmp_path):
    config = small_config()
    for text, count in (("2,3", 2), ("2,4", 2)):
        found = sweep.members(config, [f"hparams.kl_weight={text}"], 1)
        shards.enter(tmp_path, config, found, "vmap", Shard(0, count))
    manifest = shards.read_manifest(tmp_path / "shards" / "manifest.json")
    assert list(manifest.members) == ["kl_weight=2,seed=0", "kl_weight=4,seed=0"]


def test_strangers_are_refused_in_a_report(trained, tmp_path):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    own = tmp_path / "shards" / "1-of-3" / "shard.json"
    kept = own.read_bytes()
    write_json(own, {"fingerprint": "of another grid"})
    with pytest.raises(ConfigError, match="1-of-3 is a shard of another grid"):
        finished.read_finished([tmp_path])
    own.write_bytes(kept)
    run = next((tmp_path / "shards" / "1-of-3" / "members").iterdir())
    data = read_json(run / "data.json")
    write_json(run / "data.json", {**data, "fingerprint": "0" * 16})
    with pytest.raises(DataError, match="was trained on other data than"):
        finished.read_finished([tmp_path])
    (tmp_path / "shards" / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="manifest.json is not there: copy it, too"):
        finished.read_finished([own.parent])


@pytest.mark.slow
def test_a_failed_member_stands_in_the_report_also_alone_in_its_shard(tmp_path):
    sweeps = ["hparams.learning_rate=0.001,1e30"]
    for index in range(2):
        given = [
            f"--workdir={tmp_path}",
            f"--sweep={sweeps[0]}",
            "--mode=exact",
            "--config=configs/digits.py",
            f"--shard={index}/2",
            *flags(**{**QUICK, "data.name": "digits"}),
        ]
        status, _, err = run_program("ablate", *given)
        assert status == 0, err
    status, out, err = run_program(
        "report", f"--workdirs={tmp_path}/shards/*", f"--out={tmp_path / 'report'}"
    )
    assert status == 0, err
    assert "1 of 2 members failed: learning_rate=1e+30,seed=0." in out
    assert "members are missing" not in out
    text = (tmp_path / "report" / "results.csv").read_text()
    assert text.splitlines()[0].endswith("failed_at_step")
    assert "--shard=$i/2; done" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_a_shard_is_a_block_of_few_programs(count):
    sweeps = ["hparams.kl_weight=1,2,3", "model.latent_dim=2,3", "data.batch_size=8,9"]
    whole = sweep.members(small_config(), sweeps, 1)
    parts = shards.blocks(whole, count)
    names = [entry.name for part in parts for entry in part]
    assert sorted(names) == sorted(entry.name for entry in whole)
    sizes = {len(part) for part in parts}
    assert max(sizes) - min(sizes) <= 1
    compiled = sum(len(sweep.programs(part, len(part))) for part in parts)
    assert compiled <= 4 + count - 1


ARRAY = {
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_COUNT": "8",
    "SLURM_ARRAY_TASK_MIN": "0",
    "SLURM_ARRAY_TASK_MAX": "7",
}


@pytest.mark.parametrize(
    ("text", "environment", "found"),
    [
        ("3/8", {}, (3, 8)),
        ("auto", ARRAY, (3, 8)),
        ("auto/9", {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "1"}, (3, 9)),
        (
            "auto",
            {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "2"},
            (1, 2),
        ),
        ("auto/4", {"JOB_COMPLETION_INDEX": "0"}, (0, 4)),
        ("8/8", {}, "shard 8 of 8 shards: the index goes from 0"),
        ("3", {}, "--shard=3: must be I/N with I from 0"),
        ("auto/x", {}, "--shard=auto/x: must be I/N"),
        ("", {}, "--shard=: must be I/N"),
        ("auto", {}, "none of SLURM_ARRAY_TASK_ID, AWS_BATCH_JOB_ARRAY_INDEX, JOB_"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "not of how many: give --shard=auto/N"),
        # `sbatch --array=3` and `--array=1-8` would be the whole grid and miss shard 0.
        (
            "auto",
            {
                **ARRAY,
                "SLURM_ARRAY_TASK_COUNT": "1",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_MAX": "3",
            },
            "the array of 1 tasks goes from 3 to 3: number it from 0",
        ),
        (
            "auto",
            {**ARRAY, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "8"},
            "the array of 8 tasks goes from 1 to 8",
        ),
    ],
)
def test_the_flag(text, environment, found):
    if isinstance(found, tuple):
        shard = parse_shard(text, environment)
        assert (shard.index, shard.count) == found
    else:
        with pytest.raises(ConfigError) as error:
            parse_shard(text, environment)
        assert found in str(error.value)
