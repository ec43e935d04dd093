"""What a user can get wrong: one line that says how to mend it, and nothing is lost."""

import functools
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from configs import default
from tests.forked_programs import run_program
from tests.runs_helpers import flags, small_config
from vae_jax import build
from vae_jax.errors import ConfigError, VAEJaxError
from vae_jax.flat import flatten
from vae_jax.runs import grid, opened, own_images, single

LOG_LINE = re.compile(r"\d\d:\d\d:\d\d ")

# Flags in front of those of a case, which win. FILES is a folder made below.
FIELDS = {"train.eval_every": 0}
TRAIN = ["--config=configs/digits.py", "--workdir=FILES/new", *flags(**FIELDS)]
BASE = {
    "train": TRAIN,
    "ablate": TRAIN,
    "evaluate": ["--workdir=FILES/run"],
    "sample": ["--workdir=FILES/run", "--out=FILES/new.png"],
    "encode": ["--workdir=FILES/run", "--out=FILES/new.npz"],
    "decode": [
        "--workdir=FILES/run",
        "--codes=FILES/codes.csv",
        "--out=FILES/new.png",
    ],
    "interpolate": [
        "--workdir=FILES/run",
        "--images=FILES/photos",
        "--out=FILES/new.png",
    ],
    "reconstruct": [
        "--workdir=FILES/run",
        "--images=FILES/photos",
        "--out=FILES/new",
    ],
    "explore": ["--workdir=FILES/run"],
    "prepare_data": ["--data_dir=FILES/new"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """Data and workdirs, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "file").write_text("text\n")
    (folder / "codes.csv").write_text("mean_0,mean_1\n1,2\n")
    np.savez(folder / "codes.npz", mean=np.ones((1, 2)))
    (folder / "empty").mkdir()
    grey = np.random.default_rng(0).integers(0, 256, (40, 6, 5), np.uint8)
    arrays = {
        "grey": {"x_train": grey},
        "binary": {"x_train": grey // 128},
        "two_channels": {"x_train": np.stack([grey, grey], axis=-1)},
        "few": {"x_train": grey[:20]},
        "pickled": {"x_train": np.array([Trap(folder / "trapped")], dtype=object)},
    }
    for name, content in arrays.items():
        np.savez(folder / f"{name}.npz", **content)
    for name in ("photos", "broken"):
        (folder / name).mkdir()
        for i, image in enumerate(grey[:20]):
            Image.fromarray(image).save(folder / name / f"{i:02}.png")
    broken = folder / "broken" / "07.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (folder / "bad_config.py").write_text(
        "from configs import default\n\n\ndef get_config():\n"
        "    config = default.get_config()\n    config.model.latent_dims = 3\n"
        "    return config\n"
    )

    single.train(small_config(**FIELDS), folder / "run")
    two_steps = small_config(**{**FIELDS, "train.num_steps": 2})
    grid.train_grid(two_steps, folder / "grid", ["hparams.kl_weight=1,2"], 1)
    on_arrays = small_config(**FIELDS, **{"data.name": f"npz:{folder}/gone.npz"})
    np.savez(folder / "gone.npz", x_train=grey // 128)
    single.train(on_arrays, folder / "without_data")
    (folder / "gone.npz").unlink()
    for name in ("unfinished", "unreadable", "garbled"):
        shutil.copytree(folder / "run", folder / name)
    (folder / "unfinished" / "results.json").unlink()
    shutil.rmtree(folder / "unfinished" / "checkpoints")
    damage(folder / "unreadable", 20)
    damage(folder / "unreadable", 40)
    (folder / "garbled" / "config.json").write_text('{"model": ')
    return folder


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self._path,)


def damage(workdir: pathlib.Path, step: int) -> None:
    """Flips one bit in the middle of the largest file of a checkpoint."""
    files = [p for p in (workdir / "checkpoints" / f"{step}").rglob("*") if p.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)


def _arguments(program: str, own: list[str], files: pathlib.Path) -> list[str]:
    return [part.replace("FILES", str(files)) for part in [*BASE[program], *own]]


def on_disk(folder: pathlib.Path) -> dict[pathlib.Path, bytes | None]:
    """Every file with its content, and every folder, but for what Python compiles."""
    paths = [p for p in folder.rglob("*") if "__pycache__" not in p.parts]
    return {p: p.read_bytes() if p.is_file() else None for p in paths}


as_made = functools.cache(on_disk)  # the files before the first test: none changes them


def complaint(
    program: str, own: list[str], files: pathlib.Path, **environment: str
) -> str:
    """The one line in which a program refuses to go on; all else is asserted."""
    as_made(files)
    arguments = _arguments(program, own, files)
    status, out, err = run_program(program, *arguments, **environment)
    assert status == 1, err
    assert out == ""
    said = [line for line in err.splitlines() if not LOG_LINE.match(line)]
    assert len(said) == 1, err
    assert said[0].startswith("error: ")
    assert on_disk(files) == as_made(files)
    return said[0]


def check_refusal(
    files: pathlib.Path, parts: list[str], call: Callable[[], object]
) -> None:
    """A call fails with one line that holds all parts, and changes nothing on disk."""
    with pytest.raises(VAEJaxError) as error:
        call()
    assert "\n" not in str(error.value)
    for part in parts:
        assert part.replace("FILES", str(files)) in str(error.value)
    assert on_disk(files) == as_made(files)


NPZ = "--config.data.name=npz:FILES"
GREY = "--config.data.binarize=none"
KL = "hparams.kl_weight"
SWEEP = f"--sweep={KL}"

# (program, flags) and what its line must hold: the place, the value, what is valid. One
# case for each kind of error of a program; below are others that no program adds to.
CASES = [
    # Flags, fields and config files.
    (
        "train",
        ["--config.model.latent_dims=3"],
        "no field 'model.latent_dims'",
        "latent_dim'?",
    ),
    ("train", ["--config.objective=elbo"], "--config.objective=elbo: ", ".name, objec"),
    ("train", ["--config.zebra=3"], "--config.zebra=3: ", "no field 'zebra'"),
    ("train", ["--config=FILES/bad_config.py"], "no field 'latent_dims'", "latent_dim"),
    ("train", ["--config.model.latent_dim=two"], "latent_dim=two", "whole number"),
    ("train", ["--config.hparams.kl_weight=x"], "kl_weight=x", "must be a number"),
    ("train", ["--config.data.dequantize=x"], "dequantize=x", "true or false"),
    ("train", ["--config.mlp.hidden_dims=(9,'a')"], "hidden_dims=", "'a'", "whole"),
    ("train", ["--config=configs/digit.py"], "configs/digit.py", "mean digits"),
    ("train", ["--config=FILES/file"], "--config=FILES/file: ", "NameError", "'text'"),
    ("train", ["config.seed=1"], "'config.seed=1'", "start with --"),
    ("train", ["--workdir="], "--workdir is missing"),
    ("train", ["--workdir=FILES/file"], "workdir=FILES/file is a file"),
    ("train", ["--config.data.name=folder:"], "data.name=folder:: a path is missing"),
    ("train", ["--init_from=FILES/empty"], "train.init_from=FILES/empty: holds no run"),
    ("sample", ["--workdir=FILES/grid"], "holds a grid: name one of its members"),
    ("sample", ["--label=3"], "label=3: the draws of FILES/run are not of a label"),
    ("sample", ["--out="], "--out is missing"),
    ("sample", ["--num=many"], "--num=many", "whole number"),
    ("sample", ["--num=0"], "--num=0", "whole number above 0"),
    ("sample", ["--seed=-1"], "--seed=-1", "from 0, below 2**32"),
    ("sample", ["--temperature=nan"], "--temperature=nan", "0 or a number above 0"),
    ("sample", ["--out=FILES/new.jpg"], "new.jpg", ".png or .npz"),
    ("encode", ["--out=FILES/new.txt"], "new.txt", ".npz, .csv or .parquet"),
    ("decode", ["--codes=FILES/file"], "--codes=FILES/file", ".npz, .csv or .parquet"),
    ("decode", ["--codes=FILES/no.csv"], "there is no file FILES/no.csv"),
    ("decode", [], "FILES/codes.csv: codes have 2 numbers, but those of FILES/run 3"),
    ("decode", ["--label=1O"], "--label=1O: must be whole numbers"),
    (
        "encode",
        [
            "--workdir=FILES/without_data",
            "--data_dir=FILES/few.npz",
            "--out=FILES/few.npz",
        ],
        "--out=FILES/few.npz: is the file of the data of FILES/without_data",
    ),
    (
        "decode",
        ["--codes=FILES/codes.npz", "--out=FILES/codes.npz"],
        "--out=FILES/codes.npz: is the file of --codes",
    ),
    (
        "encode",
        ["--images=FILES/grey.npz", "--out=FILES/grey.npz"],
        "--out=FILES/grey.npz: is the file of --images",
    ),
    (
        "interpolate",
        ["--images=FILES/photos", f"--steps={10**9}"],
        "--steps=1000000000 between 20 images: decoding needs about",
    ),
    ("interpolate", ["--steps=1"], "--steps=1: must be at least 2"),
    ("interpolate", ["--path=round"], "--path=round", "linear|spherical"),
    ("interpolate", ["--images=FILES/photos/00.png"], "one image; there must be two"),
    ("interpolate", ["--images=FILES/photos,FILES/no.png"], "no file FILES/no.png"),
    ("encode", ["--images=FILES/grey.npz", "--split=test"], "--split=test has no eff"),
    ("explore", ["--out=FILES/new.png"], "--out=FILES/new.png", "must end in .html"),
    ("explore", ["--workdir=FILES/empty"], "FILES/empty holds no run"),
    ("evaluate", ["--num_samples=0"], "--num_samples=0", "whole number above 0"),
    ("evaluate", ["--split=tset"], "--split=tset", "train|validation|test"),
    ("evaluate", ["--measures="], "--measures=: is empty", "likelihood, "),
    ("ablate", [f"{SWEEP}s=1,2"], "no field 'hparams.kl_weights'", "kl_weight'?"),
    ("ablate", ["--members_per_program=-1"], "--members_per_program=-1", "0 or more"),
    ("ablate", ["--mode=fast"], "--mode=fast", "vmap|exact"),
    ("prepare_data", [], "--dataset is missing"),
    # What a number, or two parts together, would come to.
    ("train", ["--config.data.batch_size=0"], "data.batch_size=0: must be", "above 0"),
    ("train", ["--config.model.likelihood=norml"], "'norml'", "laplace", "'normal'?"),
    ("train", [f"{NPZ}/grey.npz", GREY], "bernoulli is for binary", "=dynamic"),
    ("train", [f"--config.model.latent_dim={2**30}"], "model.latent_dim=1073741824"),
    ("evaluate", [f"--num_samples={10**12}"], "--num_samples=1000000000000", "32 bits"),
    (
        "evaluate",
        ["--measures=annealing", f"--num_temperatures={10**12}"],
        "--num_temperatures=1000000000000: annealing needs about 16 TB",
    ),
    ("sample", [f"--num={10**9}"], "--num=1000000000: decoding needs about"),
    # Data.
    ("train", ["--config.data.name=minst"], "'minst'", "'mnist'?", "digits, mnist_5k"),
    ("train", [f"{NPZ}/pickled.npz"], "FILES/pickled.npz", "can't be read"),
    ("reconstruct", ["--images=FILES/broken"], "FILES/broken/07.png", "damaged"),
    ("evaluate", ["--workdir=FILES/without_data"], "there is no file FILES/gone.npz"),
    ("prepare_data", ["--dataset=minst"], "'minst'", "'mnist'?"),
    (
        "prepare_data",
        ["--dataset=mnist", "--raw_dir=FILES/no"],
        "raw_dir: there is no folder FILES/no",
    ),
    # Workdirs, and what is written.
    ("train", ["--workdir=FILES/file/run"], "FILES/file/run can't be written"),
    (
        "train",
        ["--workdir=FILES/run", "--config.seed=1", "--config.hparams.kl_weight=2"],
        "hparams.kl_weight (1.0 there, 2.0 here), seed (0 there, 1 here)",
        "another workdir",
    ),
    ("ablate", [f"{SWEEP}=1,2", "--workdir=FILES/run"], "holds a single run"),
    ("evaluate", ["--workdir=FILES/empty"], "FILES/empty", "no run (there is no conf"),
    ("sample", ["--workdir=FILES/unreadable"], "checkpoints", "no older good one"),
    ("sample", ["--out=FILES/file/new.png"], "--out=FILES/file/new.png", "written"),
    ("encode", ["--workdir=FILES/unfinished"], "FILES/unfinished", "no checkpoint yet"),
    ("reconstruct", ["--workdir=FILES/garbled"], "config.json is damaged"),
]


@pytest.mark.parametrize(
    ("program", "own", "parts"),
    [(program, own, parts) for program, own, *parts in CASES],
)
def test_one_line_and_nothing_lost(files, program, own, parts):
    line = complaint(program, own, files)
    for part in parts:
        assert part.replace("FILES", str(files)) in line


def test_the_home_folder_in_a_list_of_images(files):
    own = ["--images=~/grey.npz", "--out=~/grey.npz"]
    line = complaint("interpolate", own, files, HOME=str(files))
    assert (
        line == f"error: --out={files}/grey.npz: is the file of --images: name another"
    )


@pytest.mark.parametrize("field", ["data.dir", "model.latent_dim", "model", "seed"])
def test_configs_of_ones_own_that_lack_a_field(files, field):
    """Of a single run and of a grid."""
    config = small_config(**FIELDS)
    section, _, name = field.rpartition(".")
    with config.unlocked():
        del (config[section] if section else config)[name]
    parts, new, sweeps = ["config has no field '", name], files / "new", [f"{KL}=1,2"]
    check_refusal(files, parts, lambda: single.train(config, new))
    check_refusal(files, parts, lambda: grid.train_grid(config, new, sweeps, 1))


# Fields of a config that `train` refuses before it makes anything, and of its message.
REFUSED = [
    ({"conv.channels": (0,)}, "channels=(0,)", "above 0"),
    ({"data.binarize": "dynamical"}, "'dynamical'", "none, threshold"),
    ({"model.network": "cnv"}, "'cnv'", "'conv'?"),
    (
        {"objective.name": "my_own"},
        "'my_own'",
        "One of your own needs --import=MODULE.",
    ),
    ({"optimizer.name": "sdg"}, "'sdg'", "'sgd'?"),
    ({"hparams.warmup_steps": 9}, "warmup_steps=9", "choose linear"),
    ({"seed": 2**32}, f"seed={2**32}", "below 2**32"),
    ({"data.seed": 2**70}, f"seed={2**70}", "below 2**32"),
    ({"data.name": "mnist", "data.dir": "FILES/no"}, "FILES/no does not", "prepare"),
    ({"data.name": "mnist", "data.dir": "FILES/empty"}, "FILES/empty", "prepare_data"),
    ({"data.name": "npz:FILES/no.npz"}, "there is no file FILES/no.npz"),
    ({"data.name": "folder:FILES/no"}, "there is no folder FILES/no"),
    ({"data.name": "folder:FILES/broken"}, "FILES/broken/07.png", "damaged"),
    ({"data.name": "FILES/photos"}, "mean 'folder:FILES/photos'?"),
    ({"data.image_size": 28}, "data.image_size", "not for digits"),
    ({"data.image_size": "4x8"}, "image_size=4x8", "height,width"),
    (
        {
            "data.name": "npz:FILES/binary.npz",
            "data.binarize": "none",
            "model.likelihood": "normal",
        },
        "model.likelihood=normal is for real",
        "set model.likelihood=bernoulli",
    ),
    (
        {"model.likelihood": "logistic"},
        "model.likelihood=logistic is for 8bit",
        "or data.binarize=none",
    ),
    (
        {"data.name": "npz:FILES/grey.npz", "data.batch_size": 33},
        "data.batch_size=33",
        "32 training images",
    ),
    ({"data.test_fraction": 0.95}, "fraction=0.1 of 1797", "sum below 1"),
    # What could be trained, but not measured or drawn at the end.
    (
        {"eval.measures": ("likelihood", "regularty")},
        "eval.measures='regularty'",
        "Did you mean 'regularity'?",
    ),
    (
        {"data.name": "npz:FILES/two_channels.npz", "eval.figures": True},
        "images have 2 channels",
        "pictures 1 or 3",
        "figures=False",
    ),
]


def filled_in(value: Any, files: pathlib.Path) -> Any:
    return value.replace("FILES", str(files)) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("fields", "parts"), [(fields, parts) for fields, *parts in REFUSED]
)
def test_configs_that_cannot_be_trained(files, fields, parts):
    fields = {name: filled_in(value, files) for name, value in fields.items()}
    config = small_config(**FIELDS, **fields)
    check_refusal(files, parts, lambda: single.train(config, files / "new"))


def test_workdirs_that_hold_something_else(files):
    for name, parts in {
        "file": ["FILES/file is a file: choose a folder"],
        "grid": ["FILES/grid holds a grid", "another workdir"],
    }.items():
        config = small_config(**FIELDS)
        check_refusal(files, parts, lambda: single.train(config, files / name))  # noqa: B023


@pytest.mark.parametrize(
    ("workdir", "sweep", "fields", "message"),
    [
        ("file/x", f"{KL}=1,2", {}, "FILES/file/x can't be"),
        ("new", f"{KL}=1,2", {"seeds": 25000}, "50000 members: at most 10000"),
        (
            "grid",
            f"{KL}=1,3",
            {"train.num_steps": 2},
            "for 2 (kl_weight=2,seed=0 is only there, kl_weight=3,seed=0 is only here)",
        ),
        ("grid", f"{KL}=1,2", {"train.num_steps": 1}, "train.num_steps (2 there, 1 he"),
        (
            "new",
            "model.likelihood=bernoulli,normal",
            {},
            "model.likelihood=normal is for real",
        ),
    ],
)
def test_grids_that_cannot_be_trained(files, workdir, sweep, fields, message):
    seeds = fields.pop("seeds", 1)
    config = small_config(**FIELDS, **fields)
    check_refusal(
        files,
        [message],
        lambda: grid.train_grid(config, files / workdir, [sweep], seeds),
    )


def test_workdirs_that_hold_no_trained_run(files):
    for name, message in {
        "no": "no run (there is no config.json)",
        "empty": "no run (there is no config.json)",
        "unfinished": "no checkpoint yet",
        "garbled": "config.json is damaged",
    }.items():
        parts = [f"FILES/{name}", message]
        check_refusal(files, parts, lambda: opened.open_run(files / name))  # noqa: B023


def test_images_that_are_none(files):
    run = opened.open_run(files / "run")
    for name, parts in {
        "no": ["there is no folder FILES/no"],
        "empty": ["no image below FILES/empty"],
        "file": ["FILES/file", "not a PNG or JPEG"],
        "grey.npz": ["6x5x1, but FILES/run", "8x8x1"],
    }.items():
        path = files / name
        check_refusal(files, parts, lambda: own_images.read_images(run, path))  # noqa: B023


# Every number of a config, and values out of its range.
ABOVE_0, FROM_0, SHARE = ("-1", "0"), ("-1",), ("1", "-0.1")
NUMBERS = {
    "seed": FROM_0,
    "data.seed": FROM_0,
    "data.batch_size": ABOVE_0,
    "data.num_labelled": FROM_0,
    "data.labelled_batch_size": FROM_0,
    "data.device_budget_mb": ABOVE_0,
    "data.validation_fraction": SHARE,
    "data.test_fraction": SHARE,
    "data.image_size": FROM_0,
    "conv.hidden_dim": ABOVE_0,
    "residual.hidden_dim": ABOVE_0,
    "fsq.num_sites": ABOVE_0,
    "ladder.num_hidden": ABOVE_0,
    "top_down.width": ABOVE_0,
    "top_down.bottleneck": ABOVE_0,
    "vq.num_codes": ABOVE_0,
    "vq.code_dim": ABOVE_0,
    "vq.num_sites": ABOVE_0,
    "vq.decay": SHARE,
    "vq.num_start_steps": FROM_0,
    "vq.dead_share": SHARE,
    "lfq.num_bits": ABOVE_0,
    "lfq.num_sites": ABOVE_0,
    "quantized.inverse_temperature": ABOVE_0,
    "quantized.diversity": FROM_0,
    "model.latent_dim": ABOVE_0,
    "coupling_flow.num_layers": ABOVE_0,
    "coupling_flow.hidden_dim": ABOVE_0,
    "mixture.num_components": ABOVE_0,
    "vamp.num_components": ABOVE_0,
    "normal.scale_value": ABOVE_0,
    "laplace.scale_value": ABOVE_0,
    "logistic_mixture.num_components": ABOVE_0,
    "objective.num_samples": ABOVE_0,
    "hparams.kl_weight": FROM_0,
    "hparams.warmup_steps": FROM_0,
    "hparams.free_nats": FROM_0,
    "hparams.free_nats_per_layer": FROM_0,
    "hparams.capacity": FROM_0,
    "hparams.tc_weight": FROM_0,
    "hparams.covariance_weight": FROM_0,
    "hparams.mmd_weight": FROM_0,
    "hparams.classification_weight": FROM_0,
    "hparams.code_weight": FROM_0,
    "hparams.gradient_weight": FROM_0,
    "hparams.commitment_weight": FROM_0,
    "hparams.entropy_weight": FROM_0,
    "miwae.num_groups": ABOVE_0,
    "piwae.num_groups": ABOVE_0,
    "ciwae.elbo_share": ("1.5", "-0.1"),
    "renyi.alpha": ("inf",),
    "factor.hidden_dim": ABOVE_0,
    "factor.num_hidden": ABOVE_0,
    "factor.learning_rate": ABOVE_0,
    "dip_i.diagonal_ratio": FROM_0,
    "dip_ii.diagonal_ratio": FROM_0,
    "hparams.learning_rate": ABOVE_0,
    "optimizer.b1": SHARE,
    "optimizer.b2": SHARE,
    "optimizer.eps": ABOVE_0,
    "optimizer.second_moment": FROM_0,
    "optimizer.skip_norm": FROM_0,
    "adamw.weight_decay": FROM_0,
    "optimizer.clip_norm": FROM_0,
    "optimizer.ema_decay": SHARE,
    "train.num_steps": ABOVE_0,
    "train.log_every": ABOVE_0,
    "train.eval_every": FROM_0,
    "train.checkpoint_every": FROM_0,
    "train.patience": FROM_0,
    "train.max_to_keep": ABOVE_0,
    "eval.num_samples": ABOVE_0,
}
DEFAULTS = flatten(default.get_config().to_dict())


def test_every_number_has_a_range():
    numbers = {name for name, value in DEFAULTS.items() if type(value) in (int, float)}
    assert numbers == NUMBERS.keys()


def test_numbers_out_of_range():
    for field, texts in NUMBERS.items():
        kind = type(DEFAULTS[field])
        for text in [*texts, *(["nan", "inf"] if kind is float else [])]:
            value = kind(text)
            message = re.escape(f"{field}={value}: must be")
            with pytest.raises(ConfigError, match=message):
                build.check(small_config(**{field: value}))


def test_pickled_objects_would_have_sprung_the_trap(files):
    """So that the case above means something."""
    np.load(files / "pickled.npz", allow_pickle=True)["x_train"]
    trap = files / "trapped"
    assert trap.exists()
    trap.unlink()


def test_loss_that_is_not_finite(tmp_path):
    """Stops, names the step, and keeps the last checkpoint before it."""
    own = ["--config.optimizer.name=sgd", "--config.hparams.learning_rate=1e3"]
    own += ["--config.train.checkpoint_every=1", "--config.train.max_to_keep=1"]
    status, _, err = run_program("train", *_arguments("train", own, tmp_path))
    assert status == 1
    said = [line for line in err.splitlines() if not LOG_LINE.match(line)]
    assert len(said) == 1, err
    found = re.match(r"error: the loss became (nan|-?inf) at step (\d+);", said[0])
    assert found
    assert "hparams.learning_rate" in said[0]
    assert not (tmp_path / "new" / "results.json").exists()
    run = opened.open_run(tmp_path / "new")
    assert 0 < run.step <= int(found[2])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.params))


def test_damaged_newest_checkpoint(files, tmp_path):
    """One warning, and the one before is used."""
    shutil.copytree(files / "run", tmp_path / "run")
    damage(tmp_path / "run", 40)
    status, _, err = run_program("sample", *_arguments("sample", [], tmp_path))
    assert status == 0, err
    (warning,) = err.splitlines()
    assert LOG_LINE.match(warning)
    assert "checkpoints/40 of step 40 is damaged" in warning
    assert "step 20 is used instead" in warning
    status, _, err = run_program("sample", *_arguments("sample", [], tmp_path))
    assert (status, err) == (0, "")
