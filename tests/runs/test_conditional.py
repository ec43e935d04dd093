"""A run that is given labels: trained, drawn from, shown images, and bad input."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from tests.forked_programs import run_program
from tests.runs_helpers import small_config
from vae_jax.errors import ConfigError, DataError
from vae_jax.export.bundle import export_run
from vae_jax.runs import decoded, identity, opened, own_images, program, single
from vae_jax.runs.codes import codes_of_images
from vae_jax.runs.fit_prior import fit_prior
from vae_jax.storage.records import read_json

LABELS = (10, 20, 30)
SHAPE = (4, 5)


def write(path, **changes):
    """An npz file of images that are as bright as their label is large."""
    numbers = np.random.default_rng(0)
    arrays = {}
    for split, num in (("train", 90), ("validation", 30), ("test", 30)):
        label = np.resize(LABELS, num)
        noise = numbers.integers(0, 40, (num, *SHAPE))
        arrays[f"x_{split}"] = np.uint8(6 * label[:, None, None] + noise)
        arrays[f"y_{split}"] = label
    kept = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
    np.savez(path, **kept)
    return path


def config_of(path, **fields):
    """A short conditional run on an npz file."""
    usual = {
        "data.name": f"npz:{path}",
        "model.condition": "label",
        "model.prior": "label_normal",
        "train.num_steps": 6,
        "train.eval_every": 3,
    }
    return small_config(**{**usual, **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the data and of the workdir `run`."""
    folder = tmp_path_factory.mktemp("conditional")
    path = write(folder / "set.npz")
    pictures = {"eval.figures": True, "eval.measures": ("likelihood", "codes")}
    single.train(config_of(path, **pictures), folder / "run")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return opened.open_run(folder / "run")


@pytest.fixture
def plain(run, tmp_path):
    """An unconditional run on the same images, of which nothing is asked but labels."""
    config = config_of(
        tmp_path, **{"model.condition": "none", "model.prior": "mixture"}
    )
    described = identity.describe(run.dataset())
    identity.claim(tmp_path / "plain", config, described, identity.Standing(True))
    return opened.Run(tmp_path / "plain", config, run.spec, 0, {}, {})


def test_a_run_ends_with_numbers_and_pictures(folder):
    results = identity.read_results(folder / "run")
    assert results["nll"] is not None and results["bits_per_dim"] is not None
    assert results["hole_mass"] is None
    drawn = {path.stem for path in (folder / "run" / "figures").iterdir()}
    pictures = {"samples", "reconstructions", "traversals", "interpolations"}
    assert {*pictures, "every_label"} <= drawn
    data = read_json(folder / "run" / "data.json")
    assert data["labels"] == list(LABELS)


def test_draws_are_of_the_labels_that_are_asked_for(run):
    key = jax.random.key(0)
    samples = run.draws(key, 7)
    np.testing.assert_array_equal(samples["label"], [*LABELS, *LABELS, 10])
    assert samples["mean"].shape == samples["draw"].shape == (7, *SHAPE, 1)
    same = run.decode(samples["z"], samples["label"].tolist()).mean
    np.testing.assert_allclose(samples["mean"], same, rtol=1e-5)
    of_one = run.draws(key, 7, label=20)
    assert set(of_one["label"]) == {20}
    # The second draw was of 20 before, too, and has the same code.
    np.testing.assert_allclose(of_one["mean"][1], samples["mean"][1], rtol=1e-5)
    assert (of_one["mean"][0] != samples["mean"][0]).any()
    assert run.sample(3, label=[30, 10]).shape == (3, *SHAPE, 1)


def test_the_program_draws_a_row_for_each_label(folder, tmp_path):
    flags = (f"--workdir={folder}/run", "--num=8", f"--out={tmp_path}/s.png")
    status, out, _ = run_program("sample", *flags, "--label=30,10")
    assert status == 0 and "8 samples" in out
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width > picture.height  # two rows of four
    status, _, error = run_program("sample", *flags, "--label=")
    assert (status, error.strip()) == (
        1,
        "error: --label=: is empty; must be whole numbers",
    )
    status, _, error = run_program("sample", *flags, "--label=3O")
    assert (status, error.strip()) == (1, "error: --label=3O: must be whole numbers")


def test_images_of_ones_own_come_with_their_labels(run, tmp_path):
    images = np.full((3, *SHAPE), 200, np.uint8)
    np.savez(tmp_path / "own.npz", x_test=images, y_test=[30, 10, 30])
    own = own_images.read_images(run, tmp_path / "own.npz")
    np.testing.assert_array_equal(own.examples["label"], [2, 0, 2])
    result = run.reconstruct(own.examples)
    assert result["x"].shape == result["mean"].shape == (3, *SHAPE, 1)
    assert result["code"].shape == result["std"].shape == (3, 3)
    # Binarised alike, 200 being rarely black: the labels make the difference.
    q = run.encode({"image": own.images[[0, 0]], "label": np.int32([2, 0])})
    assert (np.abs(q.mean[0] - q.mean[1]) > 1e-3).any()


def test_codes_of_a_conditional_run_keep_their_label(run, folder, tmp_path):
    """A row ends with its class; on the way to another it stays the first one's."""
    images = np.random.default_rng(1).integers(0, 256, (3, *SHAPE), np.uint8)
    np.savez(tmp_path / "own.npz", x_test=images, y_test=[30, 10, 20])
    own = own_images.read_images(run, tmp_path / "own.npz")
    means = run.reconstruct(own.examples)["mean"]
    points = run.points(own.examples)
    np.testing.assert_array_equal(points[:, -1], [2, 0, 1])
    between = run.interpolate(points, 2)
    np.testing.assert_allclose(between[:, 0], means[:-1], atol=1e-6)
    to = run.decode(points[1:, :-1], [30, 10]).mean
    np.testing.assert_allclose(between[:, 1], to, atol=1e-6)
    codes, _ = codes_of_images(run, tmp_path / "own.npz")
    again = decoded.means(run.decode, codes["mean"], codes["labels"].tolist())
    np.testing.assert_allclose(again, means, atol=1e-6)
    np.savez(tmp_path / "codes.npz", codes["mean"])
    flags = (f"--workdir={folder}/run", f"--codes={tmp_path}/codes.npz")
    status, _, error = run_program("decode", *flags, f"--out={tmp_path}/out.npz")
    assert status == 1 and "--label is missing" in error and error.count("\n") == 1
    flags = (*flags, f"--out={tmp_path}/out.npz", "--label=30,10,20")
    assert run_program("decode", *flags)[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["mean"], means, atol=1e-6)


def bad_images(run, tmp_path, **arrays):
    np.savez(tmp_path / "own.npz", x_test=np.zeros((2, *SHAPE), np.uint8), **arrays)
    return lambda: own_images.read_images(run, tmp_path / "own.npz")


def test_what_a_run_cannot_do_is_one_line(run, plain, tmp_path):
    calls = {
        "label=12: must be one of 10, 20, 30": lambda: run.sample(2, label=12),
        "label: is empty; must be one label or several": lambda: run.sample(
            2, label=[]
        ),
        "label=10: the draws of .* model.condition=label": (
            lambda: plain.sample(2, label=10)
        ),
        "images x_test and labels y_test": bad_images(run, tmp_path),
        "only models of images alone can be exported": (
            lambda: export_run(run, "stablehlo", tmp_path / "out")
        ),
        "would be the same for every label": lambda: fit_prior(run, "gaussian", {}),
    }
    for message, call in calls.items():
        with pytest.raises((ConfigError, DataError), match=message) as error:
            call()
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="y_test holds a label=7: must be one of 10"):
        bad_images(run, tmp_path, y_test=[10, 7])()


def test_labels_are_part_of_the_data_where_the_model_reads_them(run, plain):
    assert "labels" not in read_json(plain.workdir / "data.json")
    dataset = run.dataset()
    other = dataclasses.replace(
        dataset,
        train=dataclasses.replace(dataset.train, labels=dataset.train.labels[::-1]),
    )
    identity.check_same_data(plain.workdir, identity.describe(other))
    with pytest.raises(DataError, match="label_fingerprint is .*, was"):
        found = identity.describe(other, ("image", "label"))
        identity.check_same_data(run.workdir, found)


def test_small_batches_have_labels_where_all_images_have(folder):
    prepared = program.prepare(config_of(folder / "set.npz", **{"data.batch_size": 2}))
    assert prepared.inputs == ("image", "label")


def test_data_without_labels_of_all_images_are_refused(tmp_path):
    some = np.where(np.arange(90) % 9, np.resize(LABELS, 90), -1)
    no_labels = {f"y_{split}": None for split in ("train", "validation", "test")}
    cases = {
        "but no image has a label": no_labels,
        "a label of every image, but 10 of 90 images of the train split": {
            "y_train": some
        },
        "but 90 training and 0 test images have a": {"y_test": np.full(30, -1)},
        "but there are 90 labels for 90": {"y_train": np.arange(90)},
    }
    for message, changes in cases.items():
        path = write(tmp_path / "set.npz", **changes)
        with pytest.raises(DataError, match=f"model.condition=label.*{message}"):
            program.prepare(config_of(path))
