"""What the programs do when all is well, from images to pictures."""

import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from tests.forked_programs import run_program
from tests.runs_helpers import flags
from vae_jax.as_text import few_digits, with_error

pytestmark = pytest.mark.slow

FIGURES = {
    "interpolations",
    "kl_per_dimension",
    "latent_map",
    "reconstructions",
    "samples",
    "training_curves",
    "traversals",
}


def run(name: str, *arguments: object) -> str:
    """Runs a program that must succeed; gives what it printed."""
    status, out, err = run_program(name, *arguments)
    assert status == 0, err
    return out


def train(workdir: pathlib.Path, config: str = "digits", **fields: object) -> None:
    run(
        "train",
        f"--config=configs/{config}.py",
        f"--workdir={workdir}",
        *flags(**{"train.eval_every": 0, **fields}),
    )


def strokes(count: int, *shape: int) -> np.ndarray:
    """Images with a bright bar at random places on a dark ground, uint8."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (count, *shape), np.uint8)
    for image in images:
        top, left = rng.integers(0, shape[0] // 2), rng.integers(0, shape[1] // 2)
        image[top : top + shape[0] // 2, left : left + shape[1] // 4] += 180
    return images


ALL = ("likelihood", "codes", "regularity")


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> pathlib.Path:
    """A finished run on a grey npz of 20x28 with labels, figures and all numbers."""
    folder = tmp_path_factory.mktemp("grey")
    images, labels = strokes(120, 20, 28), np.arange(120) % 3
    np.savez(
        folder / "set.npz",
        x_train=images[:100],
        y_train=labels[:100],
        x_test=images[100:],
        y_test=labels[100:],
    )
    fields = {
        "eval.figures": True,
        "eval.measures": ("likelihood", "codes", "regularity"),
    }
    train(folder / "run", **{"data.name": f"npz:{folder}/set.npz", **fields})
    return folder / "run"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """105x105 PNGs in two class folders."""
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(strokes(60, 105, 105)):
        place = folder / ("left" if number % 2 else "right")
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03}.png")
    return folder


def test_a_model_that_decodes_the_codes_of_all_layers(tmp_path):
    """Blocks of a single site and of 4x4 with three channels, on digits of 8x8."""
    folder, fields = tmp_path / "run", {"top_down.blocks": "1x1,4x1"}
    train(folder, **{"model.name": "top_down", "eval.figures": True}, **fields)
    results = json.loads((folder / "results.json").read_text())
    assert -results["nll"] >= results["elbo"]
    assert {"active_units_layer1", "active_units_layer2"} <= results.keys()
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert FIGURES | {"layers", "kl_per_layer"} <= pictures

    def arrays(name: str) -> dict[str, tuple[int, ...]]:
        with np.load(tmp_path / name) as archive:
            return {key: value.shape for key, value in archive.items()}

    run("sample", f"--workdir={folder}", "--num=5", f"--out={tmp_path}/z.npz")
    drawn = arrays("z.npz")
    assert (drawn["z"], drawn["z2"]) == ((5, 4, 4, 3), (5, 1, 1, 3))
    run("encode", f"--workdir={folder}", f"--out={tmp_path}/codes.npz")
    assert arrays("codes.npz")["std"] == (180, 3 * (1 + 16))
    np.savez(tmp_path / "own.npz", strokes(6, 8, 8)[..., None])
    images, out = f"--images={tmp_path}/own.npz", f"--out={tmp_path}/seen"
    run("reconstruct", f"--workdir={folder}", images, out)
    assert arrays("seen/reconstructions.npz")["mean"] == (6, 8, 8, 1)
    status, _, err = run_program(
        "export",
        f"--workdir={folder}",
        f"--out={tmp_path}/files",
        "--format=stablehlo",
    )
    assert status == 1
    assert "only models with one latent layer can be exported" in err


def test_grey_images_of_20x28(grey):
    results = json.loads((grey / "results.json").read_text())
    assert results["step"] == 40
    assert -results["nll"] >= results["elbo"]
    assert 0 <= results["coverage"] <= 1
    assert 0 <= results["classifier_accuracy"] <= 1
    assert json.loads((grey / "data.json").read_text())["image_shape"] == [20, 28, 1]
    pictures = {path.stem: path for path in (grey / "figures").glob("*.png")}
    assert FIGURES <= pictures.keys()
    for path in pictures.values():
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 20
            assert np.asarray(picture).std() > 0


def test_finished_run_says_so_and_is_left_alone(grey):
    def state() -> dict[pathlib.Path, tuple[int, bytes]]:
        files = [path for path in grey.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    fields = {
        "eval.figures": True,
        "eval.measures": ("likelihood", "codes", "regularity"),
        "train.eval_every": 0,
    }
    status, out, err = run_program(
        "train",
        "--config=configs/digits.py",
        f"--workdir={grey}",
        *flags(**{"data.name": f"npz:{grey.parent}/set.npz", **fields}),
    )
    assert status == 0
    assert "finished; nothing to do" in err
    assert "ELBO" in out
    assert state() == before


def test_a_fitted_prior_from_its_fit_to_its_numbers(grey, tmp_path):
    """Both finish alone and lie beside what the run has without it."""
    out = run("fit_prior", f"--workdir={grey}", "--prior=gmm", "--num_components=2")
    assert f"{grey / 'priors' / 'gmm'}: " in out
    assert "nats a code in training" in out
    about = json.loads((grey / "priors" / "gmm" / "prior.json").read_text())
    assert few_digits(about["validation_nats"]) in out
    pictures = []
    for name, flag in (("own", []), ("gmm", ["--prior=gmm"])):
        file = tmp_path / f"{name}.npz"
        run("sample", f"--workdir={grey}", f"--out={file}", "--num=5", *flag)
        pictures.append(np.load(file)["mean"])
    assert pictures[0].shape == pictures[1].shape == (5, 20, 28, 1)
    assert (pictures[0] != pictures[1]).any()
    out = run("evaluate", f"--workdir={grey}", "--prior=gmm", "--num_samples=7")
    assert "prior: gmm" in out
    file = grey / "evaluation" / "test_likelihood_prior-gmm_k7.json"
    assert json.loads(file.read_text())["elbo"] < 0
    for wrong, line in [
        ("--prior=flow", "it has: gmm"),
        ("--prior=gmn", "prior='gmn': must be one of"),
    ]:
        status, _, err = run_program(
            "evaluate", f"--workdir={grey}", "--num_samples=7", wrong
        )
        assert status == 1
        assert err.startswith("error: ") and line in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("split", ["test", "train"])
def test_evaluate(grey, split):
    out = run("evaluate", f"--workdir={grey}", f"--split={split}", "--num_samples=7")
    written = json.loads(
        (grey / "evaluation" / f"{split}_likelihood_k7.json").read_text()
    )
    assert written["nll_num_samples"] == 7
    assert written["split"] == split
    for name in ("elbo", "rate", "distortion", "nll"):
        title = "ELBO" if name == "elbo" else name
        value = re.escape(few_digits(written[name]))
        if name == "nll":
            pair = with_error(written["nll"], written["nll_standard_error"])
            value = re.escape(" ± ".join(pair))
        assert re.search(
            rf"^ *{title}, nats +{value} ", out, re.MULTILINE | re.IGNORECASE
        )


def test_samples_are_set_by_the_seed(grey, tmp_path):
    def draw(*arguments: str) -> dict[str, np.ndarray]:
        run("sample", f"--workdir={grey}", f"--out={tmp_path}/a/z.npz", *arguments)
        with np.load(tmp_path / "a" / "z.npz") as archive:
            return dict(archive)

    first = draw("--num=9")
    assert first["z"].shape == (9, 3)
    assert first["mean"].shape == first["draw"].shape == (9, 20, 28, 1)
    assert set(np.unique(first["draw"])) == {0, 1}
    again, other = draw("--num=9", "--seed=0"), draw("--num=9", "--seed=1")
    narrow = draw("--num=9", "--temperature=0.5")
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert (values != other[name]).any()
    np.testing.assert_allclose(narrow["z"], first["z"] / 2, rtol=1e-6)
    still = draw("--num=2", "--temperature=0")
    np.testing.assert_array_equal(still["z"], 0)


def test_samples_as_a_picture(grey, tmp_path):
    out = run("sample", f"--workdir={grey}", "--num=5", f"--out={tmp_path}/samples.png")
    assert "5 samples" in out
    with Image.open(tmp_path / "samples.png") as picture:
        picture.load()
        assert picture.format == "PNG"


def test_encode(grey, tmp_path):
    run("encode", f"--workdir={grey}", f"--out={tmp_path}/codes.npz")
    with np.load(tmp_path / "codes.npz") as codes:
        assert codes["mean"].shape == codes["std"].shape == (20, 3)
        assert (codes["std"] > 0).all()
        np.testing.assert_array_equal(codes["labels"], np.arange(100, 120) % 3)


def test_from_images_to_a_table_and_back_to_images(grey, tmp_path):
    """Decoded codes are the reconstructions, and so are the ends of a way."""
    np.savez(tmp_path / "own.npz", x_test=strokes(3, 20, 28), y_test=[2, 0, 1])
    workdir, own = f"--workdir={grey}", f"--images={tmp_path}/own.npz"
    run("reconstruct", workdir, own, f"--out={tmp_path}/seen")
    with np.load(tmp_path / "seen" / "reconstructions.npz") as result:
        means, code = result["mean"], result["code"]
    out = run("encode", workdir, own, f"--out={tmp_path}/codes.csv")
    assert "3 codes of 3 dimensions" in out
    lines = (tmp_path / "codes.csv").read_text().splitlines()
    assert lines[0] == "row,label,mean_0,mean_1,mean_2,std_0,std_1,std_2"
    assert lines[1].startswith("0,2,")
    codes = f"--codes={tmp_path}/codes.csv"
    run("decode", workdir, codes, f"--out={tmp_path}/again.npz")
    with np.load(tmp_path / "again.npz") as again:
        np.testing.assert_allclose(again["mean"], means, atol=1e-6)
        np.testing.assert_array_equal(again["labels"], [2, 0, 1])
    assert "3 decoded codes" in run(
        "decode", workdir, codes, f"--out={tmp_path}/again.png"
    )
    flags = (workdir, own, "--steps=4", "--path=spherical")
    run("interpolate", *flags, f"--out={tmp_path}/way.npz")
    with np.load(tmp_path / "way.npz") as way:
        np.testing.assert_array_equal(way["points"], code)
        assert way["mean"].shape == (2, 4, 20, 28, 1)
        np.testing.assert_allclose(way["mean"][:, 0], means[:-1], atol=1e-6)
        np.testing.assert_allclose(way["mean"][:, -1], means[1:], atol=1e-6)
    for number, image in enumerate(strokes(2, 40, 56)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    two = f"--images={tmp_path}/0.png,{tmp_path}/1.png"
    out = run("interpolate", workdir, two, f"--out={tmp_path}/way.png")
    assert "1 x 10 images" in out
    for name in ("again", "way"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            picture.load()


def test_reconstruct_images_of_the_user(grey, photos, tmp_path):
    run("reconstruct", f"--workdir={grey}", f"--images={photos}", f"--out={tmp_path}/a")
    one = photos / "left" / "001.png"
    run("reconstruct", f"--workdir={grey}", f"--images={one}", f"--out={tmp_path}/b")
    for folder, count in (("a", 60), ("b", 1)):
        with np.load(tmp_path / folder / "reconstructions.npz") as result:
            assert result["x"].shape == result["mean"].shape == (count, 20, 28, 1)
            assert result["code"].shape == (count, 3)
            assert ((result["mean"] > 0) & (result["mean"] < 1)).all()
        with Image.open(tmp_path / folder / "reconstructions.png") as picture:
            picture.load()


def test_photos_of_105x105_resized(photos, tmp_path):
    fields = {"data.name": f"folder:{photos}", "data.image_size": 28}
    train(tmp_path / "run", "mnist", **fields)
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["image_shape"] == [28, 28, 1]
    out = run("encode", f"--workdir={tmp_path}/run", f"--out={tmp_path}/codes.npz")
    assert "skipped" not in out
    with np.load(tmp_path / "codes.npz") as codes:
        assert list(codes["class_names"]) == ["left", "right"]
        sorted_files = sorted(p.relative_to(photos) for p in photos.rglob("*.png"))
        for file, row, label in zip(
            codes["files"], codes["rows"], codes["labels"], strict=True
        ):
            assert str(sorted_files[row]) == file
            assert codes["class_names"][label] == file.split("/")[0]
    # The same images from another place, and as images of the user's own.
    again = f"--out={tmp_path}/again.npz"
    moved = photos.rename(photos.with_name("moved"))
    try:
        run("encode", f"--workdir={tmp_path}/run", again, f"--data_dir={moved}")
        run("encode", f"--workdir={tmp_path}/run", f"--images={moved}", again + ".npz")
    finally:
        moved.rename(photos)
    with np.load(tmp_path / "codes.npz") as a, np.load(tmp_path / "again.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])
    with np.load(tmp_path / "again.npz.npz") as codes:
        assert codes["mean"].shape == (60, 3)
        assert list(codes["files"]) == list(map(str, sorted_files))


def test_floats_of_four_channels_in_and_out(tmp_path):
    """A model of such arrays encodes others; that nothing is drawn is said."""
    x = np.random.default_rng(0).random((60, 8, 8, 4), np.float32)
    np.savez(tmp_path / "set.npz", x_train=x)
    np.savez(tmp_path / "new.npz", new=x[:5])
    own = {"data.name": f"npz:{tmp_path}/set.npz", "data.binarize": "none"}
    train(tmp_path / "run", **own, **{"model.likelihood": "normal"})
    images = f"--images={tmp_path}/new.npz"
    out = run(
        "reconstruct", f"--workdir={tmp_path}/run", images, f"--out={tmp_path}/out"
    )
    assert "5 reconstructions" in out
    assert "no figure: images have 4 channels" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "reconstructions.npz"
    ]
    run("encode", f"--workdir={tmp_path}/run", images, f"--out={tmp_path}/codes.npz")
    with (
        np.load(tmp_path / "out" / "reconstructions.npz") as result,
        np.load(tmp_path / "codes.npz") as codes,
    ):
        np.testing.assert_array_equal(result["x"], x[:5])
        np.testing.assert_array_equal(result["code"], codes["mean"])
        np.testing.assert_array_equal(result["std"], codes["std"])


def test_colour_folder_of_64x64(tmp_path):
    (tmp_path / "colour").mkdir()
    for number, image in enumerate(strokes(40, 64, 64, 3)):
        Image.fromarray(image).save(tmp_path / "colour" / f"{number:03}.jpg")
    fields = {
        "data.name": f"folder:{tmp_path}/colour",
        "data.batch_size": 4,
        "train.num_steps": 4,
        "eval.num_samples": 2,
    }
    train(tmp_path / "run", "cifar10", **fields)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert 0 < results["bits_per_dim"] < 30
    run("sample", f"--workdir={tmp_path}/run", "--num=2", f"--out={tmp_path}/z.npz")
    with np.load(tmp_path / "z.npz") as samples:
        draw = samples["draw"]
        assert draw.shape == (2, 64, 64, 3)
        levels = draw * 255
        np.testing.assert_allclose(levels, levels.round(), atol=1e-3)


def test_autoencoder_has_codes_without_spread(tmp_path):
    train(tmp_path / "run", "autoencoder", **{"data.name": "digits"})
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["elbo"] is None
    assert results["posterior_variance"] == 0
    out = run("evaluate", f"--workdir={tmp_path}/run")
    assert "not defined" in out
    run("encode", f"--workdir={tmp_path}/run", f"--out={tmp_path}/codes.npz")
    with np.load(tmp_path / "codes.npz") as codes:
        assert codes["mean"].shape == (180, 3)
        assert codes["mean"].std() > 0
        np.testing.assert_array_equal(codes["std"], 0)
