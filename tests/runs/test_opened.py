"""A run opened again: its data wherever they lie now, and images of a user's own."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.runs_helpers import small_config, spec_of
from vae_jax import build
from vae_jax.errors import DataError
from vae_jax.runs import identity, opened, own_images, single
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
    for kind, name in SETS.items():
        own = {**fields, "data.name": f"{kind}:{folder / name}"}
        single.train(small_config(**own), folder / f"run_{kind}")
    return folder


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


def test_images_that_do_not_suit_the_model(runs, tmp_path):
    run = opened.open_run(runs / "run_npz")
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 6, 7, 1), np.uint8))
    with pytest.raises(DataError, match=r"images are 6x7x1, but .* trained on 6x5x1"):
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
