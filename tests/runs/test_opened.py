"""A run opened again: its data wherever they lie now, and images of a user's own."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from tests.runs_helpers import small_config, spec_of
from vae_jax import build
from vae_jax.errors import CheckpointError, ConfigError, DataError
from vae_jax.report import latent_space
from vae_jax.runs import decoded, identity, opened, own_images, single
from vae_jax.runs.codes import codes_of_images
from vae_jax.storage.records import read_json, write_json

SETS = {"npz": "set.npz", "folder": "set"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Workdirs of runs on npz: and folder:, and the folder where their data were."""
    folder = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5), np.uint8)
    np.savez(folder / "set.npz", x_train=images)
    (folder / "set").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / "set" / f"{i:02}.png")
    fields = {"train.num_steps": 2, "train.eval_every": 0}
    fields |= {"train.checkpoint_every": 1}
    for kind, name in SETS.items():
        own = {**fields, "data.name": f"{kind}:{folder / name}"}
        single.train(small_config(**own), folder / f"run_{kind}")
    return folder


def test_an_older_checkpoint_can_be_opened(runs):
    workdir = runs / "run_npz"
    newest, older = (opened.open_run(workdir, step=step) for step in (None, 1))
    assert (newest.step, older.step) == (2, 1)
    images = np.zeros((1, 6, 5, 1), np.uint8)
    means = [run.encode(images).mean for run in (newest, older)]
    assert (means[0] != means[1]).any()
    with pytest.raises(CheckpointError, match="holds no step 7; it holds .1, 2."):
        opened.open_run(workdir, step=7)


@pytest.mark.parametrize("kind", SETS)
def test_data_that_have_moved(runs, tmp_path, kind):
    """Found by the folder around them or by their own path, known by their pixels."""
    name = SETS[kind]
    run = opened.open_run(runs / f"run_{kind}")
    before = run.dataset()
    place = tmp_path / "a" / name
    place.parent.mkdir()
    shutil.move(runs / name, place)
    try:
        with pytest.raises(DataError, match=f"there is no .*{runs / name}"):
            run.dataset()
        for data_dir in (place.parent, place):
            found = run.dataset(str(data_dir))
            assert found.name == before.name
            assert found.fingerprint == before.fingerprint
        with pytest.raises(DataError, match=f"no .*{tmp_path}/none"):
            run.dataset(f"{tmp_path}/none")
        other = tmp_path / "b" / name
        other.parent.mkdir()
        if kind == "npz":
            np.savez(other, x_train=np.zeros((40, 6, 5), np.uint8))
        else:
            shutil.copytree(place, other)
            Image.new("L", (5, 6)).save(other / "07.png")
        with pytest.raises(DataError, match="is not the one that"):
            run.dataset(str(other))
    finally:
        shutil.move(place, runs / name)


def test_images_of_a_users_own(runs, tmp_path):
    """A folder, a file and an npz of the same images have the same codes."""
    run = opened.open_run(runs / "run_npz")
    (tmp_path / "new" / "deeper").mkdir(parents=True)
    images = np.random.default_rng(1).integers(0, 256, (3, 6, 5), np.uint8)
    names = ["a.png", "b.bmp", "deeper/c.png"]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(tmp_path / "new" / name)
    (tmp_path / "new" / "c.txt").touch()
    np.savez(tmp_path / "new.npz", pictures=images / 255)
    folder = own_images.read_images(run, tmp_path / "new")
    assert list(folder.files) == names
    assert folder.notes == ("1 file skipped: 1 .txt",)
    arrays = own_images.read_images(run, tmp_path / "new.npz")
    assert arrays.files is None
    file = own_images.read_images(run, tmp_path / "new" / "a.png")
    assert list(file.files) == ["a.png"]
    for own, count in ((folder, 3), (arrays, 3), (file, 1)):
        np.testing.assert_array_equal(own.images, images[:count, ..., None])
    codes = run.reconstruct(arrays.images)
    assert {name: value.shape for name, value in codes.items()} == {
        "x": (3, 6, 5, 1),
        "mean": (3, 6, 5, 1),
        "code": (3, 3),
        "std": (3, 3),
    }
    assert (codes["std"] > 0).all()


def test_what_is_known_of_images_of_a_users_own_stands_beside_their_codes(
    runs, tmp_path
):
    """Sub-folders are classes, below splits or not; an npz has labels and factors."""
    run = opened.open_run(runs / "run_npz")
    images = np.random.default_rng(1).integers(0, 256, (4, 6, 5), np.uint8)
    for place in ("plain", "split/train"):
        for i, image in enumerate(images):
            folder = tmp_path / place / ("owl", "cat")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i}.png")
    factors = np.arange(8).reshape(4, 2)
    known = {"factors_test": factors, "factor_names": ["shape", "size"]}
    np.savez(tmp_path / "new.npz", x_test=images, y_test=[7, 8, 7, -1], **known)
    for place in ("plain", "split"):
        found, _ = codes_of_images(run, tmp_path / place)
        named = found["class_names"][found["labels"]]
        assert [file.split("/")[-2] for file in found["files"]] == list(named)
        assert list(named) == ["cat", "cat", "owl", "owl"]
    found, _ = codes_of_images(run, tmp_path / "new.npz")
    np.testing.assert_array_equal(found["labels"], [7, 8, 7, -1])
    np.testing.assert_array_equal(found["factors"], factors)
    assert list(found["factor_names"]) == ["shape", "size"]
    flat, _ = codes_of_images(run, tmp_path / "plain" / "owl")
    assert "labels" not in flat
    np.savez(tmp_path / "bad.npz", x_test=images, factors_test=factors[:3])
    with pytest.raises(DataError, match=r"bad.npz: the factors of test are .*\[4, F\]"):
        own_images.read_images(run, tmp_path / "bad.npz")


def test_from_codes_back_to_images(runs):
    """What `reconstruct` gives, decoded from the rows of a file of codes."""
    run = opened.open_run(runs / "run_npz")
    images = np.random.default_rng(1).integers(0, 256, (5, 6, 5, 1), np.uint8)
    found = run.reconstruct(images)
    points = run.points(images)
    np.testing.assert_allclose(points, found["code"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run.decode(points).mean, found["mean"], atol=1e-6)
    means = decoded.means(run.decode, points, None)
    np.testing.assert_allclose(means, found["mean"], atol=1e-6)
    for codes, message in (
        (points[:, :2], r"codes have shape \[5, 2\]: must be \[N, 3\] for this model"),
        (points[0], r"codes have shape \[3\]: must be \[N, 3\]"),
        (points[:0], r"codes have shape \[0, 3\]: there must be one or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            run.decode(codes)
    for num in (0, -1):
        with pytest.raises(ConfigError, match=f"num={num}: must be a whole number"):
            run.sample(num)


@pytest.mark.parametrize("path", latent_space.PATHS)
def test_between_images(runs, path):
    """Ends are reconstructions; in between are decoded codes of the way."""
    run = opened.open_run(runs / "run_npz")
    points = run.points(np.random.default_rng(1).random((3, 6, 5, 1), np.float32))
    between = run.interpolate(points, 5, path)
    assert between.shape == (2, 5, 6, 5, 1)
    ends = np.asarray(run.decode(points).mean)
    np.testing.assert_allclose(between[:, 0], ends[:-1], atol=1e-6)
    np.testing.assert_allclose(between[:, -1], ends[1:], atol=1e-6)
    way = latent_space.PATHS[path](points[:-1], points[1:], 5)
    expected = np.asarray(run.decode(way[:, 2]).mean)
    np.testing.assert_allclose(between[:, 2], expected, atol=1e-6)


def untrained(workdir, **fields):
    """A run with its initial parameters, on grey images of 6x6."""
    run = opened.Run(workdir, small_config(**fields), spec_of(6, 6, 1), 0, {}, {})
    x = np.zeros((1, 6, 6, 1), np.float32)
    params = jax.jit(run.model.init)(run.root_key, x, run.root_key)["params"]
    return dataclasses.replace(run, variables=params)


@pytest.mark.slow
def test_rows_of_a_model_that_decodes_all_layers_hold_the_codes_of_all(tmp_path):
    blocks = {"model.name": "top_down", "top_down.blocks": "1x2"}
    run = untrained(tmp_path, **blocks)
    images = np.random.default_rng(1).random((3, 6, 6, 1), np.float32)
    points = run.points(images)
    assert points.shape == (3, run.code_size)
    found = run.reconstruct(images)
    assert found["code"].shape == points.shape
    np.testing.assert_allclose(run.decode(points).mean, found["mean"], atol=1e-5)
    ends = run.interpolate(points, 2)
    np.testing.assert_allclose(ends[:, 1], found["mean"][1:], atol=1e-5)


def test_ways_between_codes_that_there_are_not(runs):
    run = opened.open_run(runs / "run_npz")
    points = np.zeros((3, 3))
    for message, call in {
        r"points have shape \[1, 3\]: must be \[N, 3\], with an N of 2 or more": (
            lambda: run.interpolate(points[:1])
        ),
        r"points have shape \[3, 2\]": lambda: run.interpolate(points[:, :2]),
        "steps=1: must be at least 2": lambda: run.interpolate(points, 1),
        "path='round': must be one of linear, spherical": (
            lambda: run.interpolate(points, path="round")
        ),
    }.items():
        with pytest.raises(ConfigError, match=message):
            call()
    parts = {"model.posterior": "fsq", "model.prior": "uniform"}
    run = untrained(runs, **parts, **{"objective.name": "quantized"})
    with pytest.raises(ConfigError, match="discrete codes: there are none between"):
        run.interpolate(points)


def test_images_that_do_not_suit_the_model(runs, tmp_path):
    run = opened.open_run(runs / "run_npz")
    images = run.dataset().test.images[:4]
    given = {
        "values from .* to 255": images.astype(np.float32),  # not divided by 255
        "dtype int64; it must be uint8": images.astype(np.int64),
        "values from -0.99[0-9]* to": images / 127.5 - 1,
        "values from nan to nan": np.full(images.shape, np.nan),
        "images 5x6x1, but the model is of images 6x5x1": images.swapaxes(1, 2),
        "it must be .N, H, W. or": images[0, :, :, 0],
    }
    for message, wrong in given.items():
        for call in (run.encode, run.reconstruct, run.points):
            with pytest.raises(DataError, match=message):
                call(wrong)
    # As they are stored, and as a network sees them.
    np.testing.assert_array_equal(
        run.encode(images).mean, run.encode(images / 255).mean
    )
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 6, 7, 1), np.uint8))
    with pytest.raises(DataError, match=r"images 6x7x1, but .* on images 6x5x1"):
        own_images.read_images(run, tmp_path / "wide.npz")
    with_alpha = opened.Run(runs, small_config(), spec_of(6, 5, 4), 0, {}, {})
    with pytest.raises(
        DataError, match=r"read as grey or RGB, but .* 6x5x4 .* array \[N, 6, 5, 4\]"
    ):
        own_images.read_images(with_alpha, runs / "set")


def test_a_config_with_a_pair_can_be_read_again(runs, tmp_path):
    """JSON has no tuples."""
    shutil.copytree(runs / "run_folder", tmp_path / "run")
    config = read_json(tmp_path / "run" / "config.json")
    config["data"]["image_size"] = [6, 5]
    write_json(tmp_path / "run" / "config.json", config)
    config = identity.read_config(tmp_path / "run")
    assert build.make_dataset(config).image_shape == (6, 5, 1)
