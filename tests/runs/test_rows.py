"""Rows of real numbers through a run, and codes of one run as the data of another."""

import importlib.util

import jax
import numpy as np
import pytest
import scipy.stats

from configs import m1_m2
from tests.forked_programs import run_program
from tests.runs_helpers import sigterm_after, small_config
from vae_jax.data.dataset import to_unit_floats
from vae_jax.data.sources import load_dataset
from vae_jax.errors import ConfigError, DataError
from vae_jax.export import bundle, card
from vae_jax.runs import exploration, opened, own_images, single
from vae_jax.storage.records import read_json

D, LATENT = 5, 2
LINEAR = {
    "data.binarize": "none",
    "data.batch_size": 100,
    "model.likelihood": "normal",
    "model.latent_dim": LATENT,
    "mlp.hidden_dims": (),  # without hidden layers both networks are linear
    "hparams.learning_rate": 0.03,
    "train.num_steps": 300,
    "train.eval_every": 150,
    "train.trackers": ("tensorboard",),
    "eval.num_samples": 50,
}
FEW_LABELS = {
    "data.num_labelled": 40,
    "data.batch_size": 20,
    "data.labelled_batch_size": 8,
    "m2.hidden_dims": (16,),
}


def config_of(file, **fields):
    return small_config(**{"data.name": f"npz:{file}", **LINEAR, **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """rows.npz, far from [0, 1], and a finished run `linear` on it."""
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(1000, LATENT)), rng.normal(size=(1000, D))
    rows = z @ rng.normal(size=(LATENT, D)) + noise - 1
    labels = (z[:, 0] > 0).astype(int) + 7
    np.savez(folder / "rows.npz", x_train=rows, y_train=labels)
    single.train(config_of(folder / "rows.npz"), folder / "linear")
    return folder


def test_numbers_of_rows_are_those_of_the_exact_linear_model(folder):
    """p(x) = N(b, W W^T + s^2 I), and ELBO = log p(x) - KL(q(z | x) || p(z | x))."""
    run = opened.open_run(folder / "linear")
    results = read_json(run.workdir / "results.json")
    codes = np.concatenate([np.zeros((1, LATENT)), np.eye(LATENT)]).astype(np.float32)
    likelihood = run.decode(codes)
    means = np.asarray(likelihood.mean, np.float64).reshape(-1, D)
    b, w = means[0], (means[1:] - means[0]).T
    variance = float(np.exp(2 * likelihood.log_std.ravel()[0]))
    images = run.dataset().test.images
    rows = run.spec.as_stored(images).astype(np.float64)
    exact = scipy.stats.multivariate_normal(b, w @ w.T + variance * np.eye(D))
    assert results["nll"] == pytest.approx(-exact.logpdf(rows).mean(), abs=0.01)

    precision = np.eye(LATENT) + w.T @ w / variance
    inverse = np.linalg.inv(precision)
    q = run.encode(rows)
    np.testing.assert_array_equal(q.mean, run.encode(images).mean)
    difference = (rows - b) @ w / variance @ inverse - np.asarray(q.mean)
    stds = np.exp(np.asarray(q.log_std, np.float64))
    kl = 0.5 * (
        (stds**2 @ np.diag(precision))
        + np.einsum("nd,de,ne->n", difference, precision, difference)
        - LATENT
        - np.linalg.slogdet(precision)[1]
        - 2 * np.log(stds).sum(axis=1)
    )
    elbo = (exact.logpdf(rows) - kl).mean()
    assert results["elbo"] == pytest.approx(elbo, abs=0.05)
    assert results["bits_per_dim"] is None


@pytest.mark.slow
def test_draws_of_rows_are_measured_as_images_are(folder):
    measures = {"eval.measures": ("likelihood", "codes", "regularity", "misleading")}
    results = single.train(
        config_of(folder / "rows.npz", **measures), folder / "linear"
    )
    for name in ("coverage", "precision", "classifier_accuracy", "mutual_information"):
        assert np.isfinite(results[name]), name
    assert results["frechet_pca"] < 0.2  # a linear model fits linear data


def test_a_stopped_run_and_a_stream_of_rows_have_the_same_outcome(folder, tmp_path):
    config = config_of(folder / "rows.npz", **{"data.device_budget_mb": 0.012})
    with sigterm_after(2):
        single.train(config, tmp_path)
    single.train(config, tmp_path)
    params = [opened.open_run(place).params for place in (folder / "linear", tmp_path)]
    jax.tree.map(np.testing.assert_array_equal, *params)
    assert read_json(tmp_path / "data.json")["levels"] == "real"


@pytest.mark.slow
def test_rows_of_a_users_own_are_rows_again(folder, tmp_path):
    """All that the programs write of a run on rows has the axes [N, D] of rows."""
    run = opened.open_run(folder / "linear")
    own = run.spec.as_stored(run.dataset().test.images)[:6]
    np.savez(tmp_path / "own.npz", x_test=own, y_test=np.arange(6))
    images = f"--images={tmp_path}/own.npz"
    workdir = f"--workdir={folder}/linear"
    out = tmp_path / "out"
    for name, flags, message in (
        ("reconstruct", (images, f"--out={out}"), "no figure: the data are rows of"),
        ("encode", (images, f"--out={out}/codes.npz"), "6 codes of 2 dimensions"),
        ("decode", (f"--codes={out}/codes.npz", f"--out={out}/decoded.npz"), "6 decod"),
        ("interpolate", (images, f"--out={out}/between.npz"), "5 x 10 images"),
        ("sample", ("--num=4", f"--out={out}/sample.npz"), "4 samples"),
    ):
        status, text, error = run_program(name, workdir, *flags)
        assert status == 0 and message in text, error
    found = {path.stem: dict(np.load(path)) for path in out.glob("*.npz")}
    np.testing.assert_allclose(found["reconstructions"]["x"], own, rtol=1e-6)
    mean = found["reconstructions"]["mean"]
    np.testing.assert_allclose(found["decoded"]["mean"], mean, atol=1e-4)
    np.testing.assert_array_equal(found["codes"]["labels"], np.arange(6))
    np.testing.assert_allclose(found["between"]["mean"][:, 0], mean[:-1], atol=1e-4)
    assert found["between"]["mean"].shape == (5, 10, D)
    for name in ("mean", "draw"):
        assert found["sample"][name].shape == (4, D)
    for name in ("sample", "decode", "interpolate"):
        flags = (f"--codes={out}/codes.npz",) if name == "decode" else (images,)
        flags = ("--num=4",) if name == "sample" else flags
        status, _, error = run_program(name, workdir, *flags, f"--out={out}/a.png")
        assert status == 1 and "no picture, since the data are rows of" in error
        assert len(error.splitlines()) == 1


def test_a_run_on_rows_is_exported_with_what_they_are(folder, tmp_path):
    run = opened.open_run(folder / "linear")
    text = card.model_card(run, None, {}, card.UNKNOWN)
    assert "autoencoder of rows of real numbers of the data set npz" in text
    assert "npz: rows of 5 numbers, 800 for training" in text
    assert "image-generation" not in text
    if importlib.util.find_spec("flatbuffers") is None:
        pytest.skip("needs the extra export")
    bundle.export_run(run, "stablehlo", tmp_path)
    encoder = read_json(tmp_path / bundle.DESCRIPTION)["encoder"]["inputs"][0]
    assert encoder["range"] is None and encoder["values"] == "any real number"


def test_what_rows_can_not_be_used_for_is_one_line(folder, tmp_path):
    pixels = {"data.binarize": "none", "model.likelihood": "bernoulli"}
    for fields, message in (
        ({"data.binarize": "dynamic"}, "rows of real numbers: set data.binarize=none"),
        (
            pixels,
            r"are real \(rows of real numbers\): set model.likelihood=normal or l",
        ),
        ({"model.likelihood": "logistic"}, "logistic is for 8bit values"),
        ({"model.likelihood": "continuous_bernoulli"}, "bernoulli is for unit values"),
        ({"data.dequantize": True}, "dequantize=True needs 8-bit levels, but the v"),
        ({"model.prior": "vamp"}, r"prior=vamp learns images with values in \[0, 1\]"),
        ({"eval.figures": True}, "but the data are rows of real numbers: set eval.fig"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            single.train(config_of(folder / "rows.npz", **fields), tmp_path / "run")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()

    run = opened.open_run(folder / "linear")
    np.savez(tmp_path / "wide.npz", np.zeros((3, D + 1)))
    np.savez(tmp_path / "image.npz", np.zeros((3, 1, D, 1)))
    for name, message in (
        ("wide.npz", "holds rows of 6 numbers, but .* was trained on rows of 5"),
        ("image.npz", r"float64 of shape \(3, 1, 5, 1\); rows of real numbers are fl"),
        ("a.png", r"was trained on rows of 5 numbers of npz:.*: give .* \[N, 5\]"),
    ):
        with pytest.raises(DataError, match=message):
            own_images.read_images(run, tmp_path / name)
    with pytest.raises(ConfigError, match="can't be shown: the data are rows of real"):
        exploration.explore([folder / "linear"], tmp_path / "a.html", title="")


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """A run `m1` on digits, the file of all its codes, and `m2` that is trained on it.

    Both programs are also tried: what encodes, and what draws images of both runs.
    """
    folder = tmp_path_factory.mktemp("m1_m2")
    single.train(small_config(**{"train.eval_every": 0}), folder / "m1")
    workdir, out = f"--workdir={folder}/m1", f"--out={folder}/codes.npz"
    status, text, error = run_program("encode", workdir, "--split=all", out)
    assert status == 0 and "1,797 codes of 3 dimensions" in text, error
    fields = {**FEW_LABELS, "data.name": f"npz:{folder}/codes.npz"}
    measures = {"eval.measures": ("likelihood", "classification")}
    config = small_config(m1_m2.get_config(), **fields, **measures)
    single.train(config, folder / "m2")
    return folder


@pytest.mark.slow
def test_codes_of_all_splits_are_a_data_set_with_the_splits_of_their_run(codes):
    run = opened.open_run(codes / "m1")
    found, images = load_dataset(f"npz:{codes}/codes.npz"), run.dataset()
    assert found.levels == "real" and found.spec.num_classes == 10
    for split, own in found.splits.items():
        grey = to_unit_floats(images.splits[split].images)
        means = run.trained.encode(grey, jax.random.key(0))[0].posterior.mean
        stored = found.spec.as_stored(own.images)
        np.testing.assert_allclose(stored, means, atol=1e-5)
        np.testing.assert_array_equal(own.labels, images.splits[split].labels)
    out = codes / "codes.csv"
    flags = (f"--workdir={codes}/m1", "--split=all", f"--out={out}")
    status, _, error = run_program("encode", *flags)
    assert status == 1 and "must end in .npz with --split=all" in error


@pytest.mark.slow
def test_m2_learns_from_codes_and_draws_images_with_the_decoder_of_m1(codes):
    results = read_json(codes / "m2" / "results.json")
    assert 0 < results["class_error"] < 1
    assert results["elbo"] <= -results["nll"]
    drawn, images = codes / "drawn.npz", codes / "images.npz"
    for name, *flags in (
        ("sample", f"--workdir={codes}/m2", "--num=5", f"--out={drawn}"),
        ("decode", f"--workdir={codes}/m1", f"--codes={drawn}", f"--out={images}"),
    ):
        status, _, error = run_program(name, *flags)
        assert status == 0, error
    z1 = np.load(drawn)["mean"]
    assert z1.shape == (5, 3)
    expected = opened.open_run(codes / "m1").decode(z1).mean
    np.testing.assert_allclose(np.load(images)["mean"], expected, atol=1e-5)
