"""M2 on scikit-learn's digits, the whole way."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs import semi_supervised
from tests.runs_helpers import sigterm_after, small_config, spec_of
from vae_jax.data.examples import inputs
from vae_jax.errors import ConfigError, DataError
from vae_jax.runs import opened, own_images, single
from vae_jax.runs.pictures import latent_space
from vae_jax.runs.run_data import run_data
from vae_jax.storage.records import read_metrics

FIELDS = {
    "data.name": "digits",
    "data.num_labelled": 40,
    "data.batch_size": 20,
    "data.labelled_batch_size": 8,
    "m2.hidden_dims": (16,),
    "eval.measures": (
        "likelihood",
        "codes",
        "regularity",
        "classification",
        "conditional",
    ),
}


def config_of(**changes):
    return small_config(semi_supervised.get_config(), **{**FIELDS, **changes})


@pytest.mark.slow
def test_a_run_is_measured_resumed_and_opened(tmp_path):
    results = single.train(config_of(**{"eval.figures": True}), tmp_path / "run")
    assert 0 < results["class_error"] < 1 and 0 < results["plain_class_error"] < 1
    assert results["elbo"] <= -results["nll"] <= 0
    assert results["rate"] == pytest.approx(
        results["rate_layer1"] + results["rate_layer2"], rel=1e-5
    )
    assert results["coverage"] is not None  # draws of the prior, of all classes
    assert results["length_ratio"] is None  # there is nothing between two classes
    assert results["mutual_information"] is None
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"samples", "every_label", "layers"} <= drawn
    metrics = set().union(*read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert {"train/elbo", "train/labelled_elbo", "train/class_accuracy"} <= metrics

    run = opened.open_run(tmp_path / "run")
    images = run.dataset().test.images[:5]
    data = run_data(run.config, run.dataset(), inputs(run.model), count=5)
    space = latent_space(run.trained, data, jax.random.key(0), images)
    assert space.name == "z1" and space.has_standard_prior  # not the class above it
    assert space.codes.shape == (5, run.config.model.latent_dim)
    unlabelled = {"image": images, "label": np.full(5, -1, np.int32)}
    labelled = {"image": images, "label": np.arange(5, dtype=np.int32)}
    for own in (unlabelled, labelled):
        np.testing.assert_array_equal(run.encode(own).mean, run.encode(unlabelled).mean)
    assert 0 <= results["label_agreement"] <= 1
    key = jax.random.key(1)
    drawn = run.draws(key, 3)
    assert drawn["mean"].shape == (3, 8, 8, 1) and "label" not in drawn
    asked = run.draws(key, 5, label=[7, 0])
    np.testing.assert_array_equal(asked["label"], [7, 0, 7, 0, 7])
    np.testing.assert_array_equal(asked["z2"], np.eye(10)[asked["label"]])
    rows = np.concatenate([asked["z"], np.zeros((5, 10))], axis=1)
    decoded = run.decode(rows, label=[7, 0]).mean
    np.testing.assert_allclose(decoded, asked["mean"], atol=1e-6)
    with pytest.raises(ConfigError, match="label=12: must be one of 0, 1, 2"):
        run.sample(2, label=12)

    with sigterm_after(3):
        single.train(config_of(), tmp_path / "again")
    single.train(config_of(), tmp_path / "again")
    params = [opened.open_run(tmp_path / name).params for name in ("run", "again")]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_images_of_ones_own_need_no_label(tmp_path):
    """-1 says that one has none, unless the model conditions on it."""
    path = tmp_path / "own.npz"
    pixels = np.zeros((3, 4, 4), np.uint8)
    np.savez(path, x_test=pixels, y_test=np.array([20, -1, 10]))
    run = SimpleNamespace(
        workdir="runs/m2",
        spec=spec_of(4, 4, 1),
        model=SimpleNamespace(inputs=("image", "label")),
        trained=SimpleNamespace(conditions_on=None),
        labels=(10, 20),
    )
    read = own_images.read_images(run, path)
    assert read.examples["label"].tolist() == [1, -1, 0]
    assert read.examples["label"].dtype == np.int32
    assert read.labels.tolist() == [20, -1, 10]
    run.labels = (10, 30)
    with pytest.raises(DataError, match="y_test holds a label=20: must be one of 10"):
        own_images.read_images(run, path)
    run.labels, run.trained.conditions_on = (10, 20), "label"
    with pytest.raises(DataError, match="y_test holds a label=-1: must be one of 10"):
        own_images.read_images(run, path)


def test_numbers_that_do_not_fit_the_data_are_one_line(tmp_path):
    for changes, message in (
        ({"data.num_labelled": 45}, "must be a multiple of 10, the number of classes"),
        ({"data.num_labelled": 100_000}, "takes 10000 training images of each class"),
        ({"data.labelled_batch_size": 41, "data.batch_size": 60}, "there are 40"),
        (
            {"data.labelled_batch_size": 0, "data.batch_size": 60},
            "of 60 would have 1.7 labelled images on average",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            single.train(config_of(**changes), tmp_path / "run")
