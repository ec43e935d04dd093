"""What a user can get wrong: one line that says how to mend it, and nothing is lost."""

import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from configs import default
from tests.forked_programs import run_program
from tests.runs_helpers import flags, small_config
from vae_jax import build
from vae_jax.errors import ConfigError
from vae_jax.runs import grid, opened, single

LOG_LINE = re.compile(r"[IW]\d{4} \d\d:\d\d:\d\d")  # absl: info or warning

# Flags in front of those of a case, which win. FILES is a folder made below.
FIELDS = {"train.eval_every": 0}
TRAIN = ["--config=configs/digits.py", "--workdir=FILES/new", *flags(**FIELDS)]
BASE = {
    "train": TRAIN,
    "ablate": TRAIN,
    "evaluate": ["--workdir=FILES/run"],
    "sample": ["--workdir=FILES/run", "--out=FILES/new.png"],
    "encode": ["--workdir=FILES/run", "--out=FILES/new.npz"],
    "reconstruct": [
        "--workdir=FILES/run",
        "--images=FILES/photos",
        "--out=FILES/new",
    ],
    "prepare_data": ["--data_dir=FILES/new"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """Data and workdirs, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "file").write_text("text\n")
    (folder / "empty").mkdir()
    grey = np.random.default_rng(0).integers(0, 256, (40, 6, 5), np.uint8)
    nan = grey / 255.0
    nan[3, 2, 1] = np.nan
    arrays = {
        "grey": {"x_train": grey},
        "binary": {"x_train": grey // 128},
        "two_channels": {"x_train": np.stack([grey, grey], axis=-1)},
        "few": {"x_train": grey[:20]},
        "unnamed": {"images": grey},
        "flat": {"x_train": grey.reshape(40, 30)},
        "nan": {"x_train": nan},
        "integers": {"x_train": grey.astype(np.int64)},
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
    (folder / "raw").mkdir()
    (folder / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b" + bytes(99))
    (folder / "bad_config.py").write_text(
        "from configs import default\n\n\ndef get_config():\n"
        "    config = default.get_config()\n    config.model.latent_dims = 3\n"
        "    return config\n"
    )

    single.train(small_config(**FIELDS), folder / "run")
    two_steps = small_config(**{**FIELDS, "train.num_steps": 2})
    grid.train_grid(two_steps, folder / "grid", ["objective.kl_weight=1,2"], 1)
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
    """Every file with its content, and every folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def complaint(program: str, own: list[str], files: pathlib.Path) -> str:
    """The one line in which a program refuses to go on; all else is asserted."""
    before = on_disk(files)
    status, out, err = run_program(program, *_arguments(program, own, files))
    assert status == 1, err
    assert out == ""
    said = [line for line in err.splitlines() if not LOG_LINE.match(line)]
    assert len(said) == 1, err
    assert said[0].startswith("error: ")
    assert on_disk(files) == before
    return said[0]


NPZ = "--config.data.name=npz:FILES"
FOLDER = "--config.data.name=folder:FILES"
MNIST = "--config.data.name=mnist"
GREY = "--config.data.binarize=none"
SWEEP = "--sweep=objective.kl_weight"

# (program, flags) and what its line must hold: the place, the value, what is valid.
CASES = [
    # Fields and config files.
    ("train", ["--config.model.latent_dims=3"], "no field 'latent_dims'", "latent_dim"),
    ("train", ["--config.modl.latent_dim=3"], "no field 'modl'", '"model"'),
    ("train", ["--config.zebra=3"], "no field 'zebra'"),
    ("train", ["--config=FILES/bad_config.py"], "no field 'latent_dims'", "latent_dim"),
    ("train", ["--config.model.latent_dim=two"], "latent_dim=two", "whole number"),
    ("train", ["--config.train.num_steps=1e3"], "num_steps=1e3", "whole number"),
    ("train", ["--config.objective.kl_weight=x"], "kl_weight=x", "must be a number"),
    ("train", ["--config.data.dequantize=x"], "dequantize=x", "true or false"),
    ("train", ["--config.model.hidden_dims=(9,'a')"], "hidden_dims=", "'a'", "whole"),
    ("train", ["--config.model.channels=(0,)"], "channels=", "0)", "above 0"),
    ("train", ["--config=configs/digit.py"], "digit.py", "configs/digits.py"),
    ("train", ["--config=FILES/file"], "config file", "NameError", "'text'"),
    ("train", ["config.seed=1"], "'config.seed=1'", "start with --"),
    ("train", ["--workdir="], "--workdir is missing"),
    ("train", ["--config.data.binarize=dynamical"], "'dynamical'", "none, threshold"),
    ("train", ["--config.model.likelihood=norml"], "'norml'", "laplace", "'normal'?"),
    ("train", ["--config.model.network=cnv"], "'cnv'", "'conv'?"),
    ("train", ["--config.optimizer.name=sdg"], "'sdg'", "'sgd'?"),
    ("train", ["--config.objective.warmup_steps=9"], "warmup_steps=9", "choose linear"),
    ("train", [f"--config.seed={2**32}"], f"seed={2**32}", "below 2**32"),
    ("train", [f"--config.data.seed={2**70}"], f"seed={2**70}", "below 2**32"),
    # Data.
    (
        "train",
        ["--config.data.name=minst"],
        "'minst'",
        "'mnist'?",
        "digits, mnist_5k, npz:PATH",
    ),
    ("train", [MNIST, "--config.data.dir=FILES/no"], "FILES/no does not", "prepare"),
    ("train", [MNIST, "--config.data.dir=FILES/empty"], "FILES/empty", "prepare_data"),
    ("train", [f"{NPZ}/no.npz"], "there is no file FILES/no.npz"),
    ("train", [f"{NPZ}/file"], "FILES/file", "not an npz file"),
    ("train", [f"{NPZ}/unnamed.npz"], "no array x_train", "images"),
    ("train", [f"{NPZ}/flat.npz"], "x_train", "(40, 30)", "[N, H, W]"),
    ("train", [f"{NPZ}/nan.npz"], "x_train", "nan", "[0, 1]"),
    ("train", [f"{NPZ}/integers.npz"], "x_train", "int64", "uint8"),
    ("train", [f"{NPZ}/pickled.npz"], "FILES/pickled.npz", "can't be read"),
    ("train", [f"{FOLDER}/no"], "there is no folder FILES/no"),
    ("train", [f"{FOLDER}/empty"], "no image below FILES/empty", ".png"),
    ("train", [f"{FOLDER}/broken"], "FILES/broken/07.png", "damaged"),
    ("train", ["--config.data.image_size=28"], "data.image_size", "not for digits"),
    ("train", ["--config.data.image_size=4x8"], "image_size=4x8", "height,width"),
    ("train", ["--config.data.name=FILES/photos"], "mean 'folder:FILES/photos'?"),
    ("train", [f"{NPZ}/grey.npz", GREY], "bernoulli needs binary", "binarize=dynamic"),
    (
        "train",
        [f"{NPZ}/binary.npz", GREY, "--config.model.likelihood=normal"],
        "model.likelihood=normal is over grey",
        "set model.likelihood=bernoulli",
    ),
    (
        "train",
        ["--config.model.likelihood=logistic"],
        "model.likelihood=logistic is over 8bit",
        "or data.binarize=none",
    ),
    (
        "train",
        [f"{NPZ}/grey.npz", "--config.data.batch_size=33"],
        "data.batch_size=33",
        "32 images",
    ),
    (
        "train",
        ["--config.data.test_fraction=0.95"],
        "fraction=0.1 of 1797",
        "sum below 1",
    ),
    # What could be trained, but not measured or drawn at the end.
    (
        "train",
        ["--config.eval.measures=likelihood,regularty"],
        "eval.measures='regularty'",
        "Did you mean 'regularity'?",
    ),
    (
        "train",
        [f"{NPZ}/two_channels.npz", "--config.eval.figures=True"],
        "1 or 3 channels",
        "has 2",
        "figures=False",
    ),
    # Workdirs.
    ("train", ["--workdir=FILES/file/run"], "FILES/file/run can't be written"),
    ("train", ["--workdir=FILES/file"], "FILES/file can't be written"),
    ("train", ["--workdir=FILES/grid"], "FILES/grid holds a grid", "another workdir"),
    (
        "train",
        ["--workdir=FILES/run", "--config.seed=1", "--config.objective.kl_weight=2"],
        "objective.kl_weight (1.0 there, 2.0 here), seed (0 there, 1 here)",
        "another workdir",
    ),
    *(
        (program, [f"--workdir=FILES/{name}"], f"FILES/{name}", problem)
        for program in ("evaluate", "sample", "encode", "reconstruct")
        for name, problem in {
            "empty": "no run (there is no config.json)",
            "unfinished": "no checkpoint yet",
        }.items()
    ),
    ("sample", ["--workdir=FILES/no"], "FILES/no", "no run"),
    ("sample", ["--workdir=FILES/garbled"], "config.json is damaged"),
    ("sample", ["--workdir=FILES/unreadable"], "checkpoints", "no older good one"),
    ("evaluate", ["--workdir=FILES/without_data"], "there is no file FILES/gone.npz"),
    # The flags of the other programs.
    ("evaluate", ["--num_samples=0"], "--num_samples=0", "at least 1"),
    ("evaluate", [f"--num_samples={10**12}"], "--num_samples=1000000000000", "32 bits"),
    (
        "evaluate",
        ["--measures=annealing", f"--num_temperatures={10**12}"],
        "--num_temperatures=1000000000000: annealing needs about 16 TB",
    ),
    ("sample", [f"--num={10**9}"], "--num=1000000000: drawing needs about"),
    ("train", [f"--config.model.latent_dim={2**30}"], "model.latent_dim=1073741824"),
    (
        "ablate",
        [f"{SWEEP}=1", f"--config.model.latent_dim={2**30}"],
        "model.latent_dim=1073741824: training needs about",
    ),
    ("ablate", [f"{SWEEP}=1", "--seeds=50000"], "50000 members: at most 10000"),
    ("evaluate", ["--split=tset"], "--split=tset", "train|validation|test"),
    ("sample", ["--num=0"], "--num=0", "at least 1"),
    ("sample", ["--num=many"], "--num=many", "whole number"),
    ("sample", ["--seed=-1"], "--seed=-1", "at least 0"),
    ("sample", ["--temperature=-1"], "--temperature=-1", "0 or more"),
    ("sample", ["--temperature=nan"], "--temperature=nan", "0 or more"),
    ("sample", ["--out=FILES/new.jpg"], "new.jpg", ".png or .npz"),
    ("sample", ["--out=FILES/file/new.png"], "--out=FILES/file/new.png", "written"),
    ("sample", ["--out="], "--out is missing"),
    ("encode", ["--split=tset"], "--split=tset", "train|validation|test"),
    ("encode", ["--out=FILES/new.csv"], "new.csv", "must end in .npz"),
    ("reconstruct", ["--images=FILES/no"], "there is no folder FILES/no"),
    ("reconstruct", ["--images=FILES/empty"], "no image below FILES/empty"),
    ("reconstruct", ["--images=FILES/file"], "FILES/file", "not a PNG or JPEG"),
    ("reconstruct", ["--images=FILES/grey.npz"], "6x5x1, but FILES/run", "8x8x1"),
    ("encode", ["--images=FILES/grey.npz", "--split=test"], "--split=test has no eff"),
    ("reconstruct", ["--images=FILES/broken"], "FILES/broken/07.png", "damaged"),
    ("prepare_data", [], "--dataset is missing"),
    ("prepare_data", ["--dataset=minst"], "'minst'", "'mnist'?"),
    (
        "prepare_data",
        ["--dataset=mnist", "--raw_dir=FILES/no"],
        "raw_dir: there is no folder FILES/no",
    ),
    ("prepare_data", ["--dataset=emnist/leters"], "'leters'", "emnist/letters?"),
    (
        "prepare_data",
        ["--dataset=mnist", "--raw_dir=FILES/raw"],
        "FILES/raw/train-images-idx3-ubyte.gz is not the original",
        "expected sha256",
    ),
    (
        "prepare_data",
        ["--dataset=cifar100", "--raw_dir=FILES/raw"],
        "'cifar100'",
        "raw_dir builds mnist",
    ),
    # Sweeps.
    ("ablate", [f"{SWEEP}s=1,2"], "no field 'objective.kl_weights'", "kl_weight'?"),
    ("ablate", [f"{SWEEP}="], "expected objective.kl_weight=VALUE"),
    ("ablate", [SWEEP], "expected objective.kl_weight=VALUE"),
    ("ablate", [f"{SWEEP}=1,,2"], "=1,,2", "expected objective.kl_weight=VALUE"),
    ("ablate", [f"{SWEEP}=1,x"], "'x' is not of type float"),
    ("ablate", ["--sweep=model.latent_dim=2.5"], "'2.5' is not of type int"),
    ("ablate", ["--sweep=model.hidden_dims=1,2"], "model.hidden_dims", "can't be"),
    ("ablate", [f"{SWEEP}=1,2,1.0"], "1.0 stands there twice"),
    ("ablate", [f"{SWEEP}=1", f"{SWEEP}=2"], "swept twice", "all its values at once"),
    ("ablate", [f"{SWEEP}=1,-2"], "objective.kl_weight=-2.0", "above 0"),
    ("ablate", ["--sweep=seed=1,2", "--seeds=2"], "exclude each other"),
    ("ablate", [f"{SWEEP}=1,2", "--seeds=0"], "--seeds=0", "at least 1"),
    ("ablate", ["--members_per_program=-1"], "--members_per_program=-1", "0 or more"),
    ("ablate", ["--mode=fast"], "--mode=fast", "vmap|exact"),
    ("ablate", [f"{SWEEP}=1,2", "--workdir=FILES/run"], "holds a single run"),
    ("ablate", [f"{SWEEP}=1,2", "--workdir=FILES/file/x"], "FILES/file/x can't be"),
    (
        "ablate",
        [f"{SWEEP}=1,3", "--workdir=FILES/grid", "--config.train.num_steps=2"],
        "FILES/grid holds another grid of 2 members",
    ),
    (
        "ablate",
        [f"{SWEEP}=1,2", "--workdir=FILES/grid", "--config.train.num_steps=1"],
        "train.num_steps (2 there, 1 here)",
    ),
    (
        "ablate",
        ["--sweep=model.likelihood=bernoulli,normal", "--members_per_program=1"],
        "model.likelihood=normal is over grey",
    ),
]


@pytest.mark.parametrize(
    ("program", "own", "parts"),
    [(program, own, parts) for program, own, *parts in CASES],
)
def test_one_line_and_nothing_lost(files, program, own, parts):
    line = complaint(program, own, files)
    for part in parts:
        assert part.replace("FILES", str(files)) in line


# Every number of a config, and values out of its range; the first goes the whole way.
ABOVE_0, FROM_0, SHARE = ("-1", "0"), ("-1",), ("1", "-0.1")
NUMBERS = {
    "seed": FROM_0,
    "data.seed": FROM_0,
    "data.batch_size": ABOVE_0,
    "data.device_budget_mb": ABOVE_0,
    "data.validation_fraction": SHARE,
    "data.test_fraction": SHARE,
    "data.image_size": FROM_0,
    "model.conv_hidden_dim": ABOVE_0,
    "model.latent_dim": ABOVE_0,
    "model.flow_layers": ABOVE_0,
    "model.prior_components": ABOVE_0,
    "model.scale_value": ABOVE_0,
    "model.num_components": ABOVE_0,
    "objective.num_samples": ABOVE_0,
    "objective.kl_weight": FROM_0,
    "objective.warmup_steps": FROM_0,
    "objective.free_nats": FROM_0,
    "objective.capacity": FROM_0,
    "objective.num_groups": ABOVE_0,
    "objective.elbo_share": ("1.5", "-0.1"),
    "objective.alpha": ("inf",),
    "optimizer.learning_rate": ABOVE_0,
    "optimizer.b1": SHARE,
    "optimizer.b2": SHARE,
    "optimizer.eps": ABOVE_0,
    "optimizer.second_moment": FROM_0,
    "optimizer.weight_decay": FROM_0,
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
DEFAULTS = build.flatten(default.get_config().to_dict())


def test_every_number_has_a_range():
    numbers = {name for name, value in DEFAULTS.items() if type(value) in (int, float)}
    assert numbers == NUMBERS.keys()


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_out_of_range(files, field):
    kind = type(DEFAULTS[field])
    values = [*NUMBERS[field], *(["nan", "inf"] if kind is float else [])]
    for text in values:
        value = kind(text)
        with pytest.raises(ConfigError, match=re.escape(f"{field}={value}: must be")):
            build.check(small_config(**{field: value}))
    line = complaint("train", [f"--config.{field}={values[0]}"], files)
    assert f"{field}={kind(values[0])}: must be" in line


def test_pickled_objects_would_have_sprung_the_trap(files):
    """So that the case above means something."""
    np.load(files / "pickled.npz", allow_pickle=True)["x_train"]
    trap = files / "trapped"
    assert trap.exists()
    trap.unlink()


def test_loss_that_is_not_finite(tmp_path):
    """Stops, names the step, and keeps the last checkpoint before it."""
    own = ["--config.optimizer.name=sgd", "--config.optimizer.learning_rate=1e3"]
    own += ["--config.train.checkpoint_every=1", "--config.train.max_to_keep=1"]
    status, _, err = run_program("train", *_arguments("train", own, tmp_path))
    assert status == 1
    said = [line for line in err.splitlines() if not LOG_LINE.match(line)]
    assert len(said) == 1, err
    found = re.match(r"error: the loss became (nan|-?inf) at step (\d+);", said[0])
    assert found
    assert "optimizer.learning_rate" in said[0]
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
