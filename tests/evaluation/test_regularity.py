"""All numbers together, on a linear model whose exact posterior is known."""

import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from vae_jax.distributions import (
    Bernoulli,
    Deterministic,
    DiagonalNormal,
    OptimalNormal,
)
from vae_jax.errors import DataError
from vae_jax.evaluation.aggregate import Codes
from vae_jax.evaluation.classifier import fit_classifier
from vae_jax.evaluation.regularity import regularity

DIM, NOISE = 2, 0.3
SHAPE = (2, 3, 1)
KEY = jax.random.key(0)
ROWS = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (6, DIM)))[0].T
WEIGHT = ROWS * jnp.array([[2.0], [1.0]])
VARIANCE = 1 / (1 + jnp.array([4.0, 1.0]) / NOISE**2)  # of the exact posterior


def decode(weight, z):
    mean = (z @ weight).reshape(-1, *SHAPE)
    return DiagonalNormal(mean, jnp.full(mean.shape, math.log(NOISE)))


def encode(weight, x):
    mean = (x.reshape(len(x), -1) @ weight.T) / NOISE**2 * VARIANCE[None, :]
    return DiagonalNormal(mean, jnp.broadcast_to(0.5 * jnp.log(VARIANCE), mean.shape))


def encode_point(weight, x):
    return Deterministic(encode(weight, x).mean)


def images(seed, num):
    z_key, x_key = jax.random.split(jax.random.key(seed))
    return decode(WEIGHT, jax.random.normal(z_key, (num, DIM))).sample(x_key)


TRAIN, HELDOUT = images(1, 3000), images(2, 1000)


def measure(decode=decode, encode=encode, weight=WEIGHT, **options):
    posterior = encode(weight, TRAIN)
    codes = Codes(posterior.mean, posterior.std)
    decode, encode = Partial(decode, weight), Partial(encode, weight)
    return regularity(decode, encode, codes, TRAIN, HELDOUT, KEY, **options)


@pytest.fixture(scope="module")
def labels():
    """Which side of the origin an image lies on, along the first row of WEIGHT."""

    def of(x):
        return (x.reshape(len(x), -1) @ WEIGHT[0] > 0).astype(jnp.int32)

    return fit_classifier(
        TRAIN, of(TRAIN), HELDOUT, of(HELDOUT), KEY, num_classes=2, num_steps=300
    )


@pytest.fixture(scope="module")
def perfect(labels):
    """A model that is the data's distribution, with the exact posterior."""
    return measure(classifier=labels, extras=True)


def test_perfect_model(perfect):
    for prefix in ("", "codes_", "fitted_", "real_"):
        assert perfect[prefix + "coverage"] == pytest.approx(1 - 2**-5, abs=0.02)
        assert perfect[prefix + "frechet_pca"] < 0.02
        assert perfect[prefix + "sure"] == pytest.approx(perfect["real_sure"], abs=0.05)
        assert perfect[prefix + "label_entropy"] == pytest.approx(math.log(2), abs=0.01)
    assert perfect["round_trip"] == pytest.approx(float(VARIANCE.mean()), rel=0.15)
    assert perfect["round_trip_inside"] == pytest.approx(0.99, abs=0.016)
    assert perfect["hole_mass"] == pytest.approx(0, abs=0.08)
    assert perfect["outside_prior"] == pytest.approx(0.01, abs=0.006)
    assert perfect["code_std"] == pytest.approx(1, abs=0.05)
    assert perfect["noise_share"] == pytest.approx(float(VARIANCE.mean()), rel=0.1)
    information = float(-0.5 * jnp.log(VARIANCE).sum())
    assert perfect["mutual_information"] == pytest.approx(information, abs=0.1)
    assert perfect["marginal_kl_low"] < 0.05
    assert perfect["length_ratio"] == pytest.approx(1, abs=1e-4)
    assert perfect["path_energy"] == pytest.approx(2 * 5, rel=0.15)
    assert perfect["sensitivity"] == pytest.approx(5 / 4 / NOISE**2, rel=0.15)
    assert perfect["classifier_accuracy"] > 0.97
    assert perfect["density"] == pytest.approx(1, abs=0.15)


def test_posterior_moved_away_from_the_prior_is_repaired_by_fitted_codes():
    """The same codes, shifted and stretched: only where the prior samples changes."""

    def moved_decode(weight, z):
        return decode(weight, (z - 4) / 3)

    def moved_encode(weight, x):
        posterior = encode(weight, x)
        log_std = posterior.log_std + math.log(3)
        return DiagonalNormal(3 * posterior.mean + 4, log_std)

    moved = measure(moved_decode, moved_encode)
    assert moved["coverage"] < 0.5
    assert moved["hole_mass"] > 0.8
    assert moved["outside_prior"] > 0.7
    assert moved["marginal_kl_low"] > 5
    assert moved["code_std"] == pytest.approx(3, abs=0.15)
    for prefix in ("codes_", "fitted_"):
        assert moved[prefix + "coverage"] == pytest.approx(1 - 2**-5, abs=0.02)


def test_numbers_at_codes_do_not_depend_on_the_scale_of_the_latent_space(perfect):
    def stretched_decode(weight, z):
        return decode(weight, z / 10)

    def stretched_encode(weight, x):
        posterior = encode(weight, x)
        return DiagonalNormal(10 * posterior.mean, posterior.log_std + math.log(10))

    stretched = measure(stretched_decode, stretched_encode)
    for name in ("path_energy", "length_ratio", "sensitivity"):
        name = f"codes_{name}"
        assert stretched[name] == pytest.approx(perfect[name], rel=1e-3)
    assert stretched["path_energy"] < 0.1 * perfect["path_energy"]


def test_what_is_undefined_is_none(perfect):
    undefined = {
        "mutual_information",
        "mutual_information_high",
        "mutual_information_cap",
        "marginal_kl",
        "marginal_kl_low",
        "snr_log10",
        "round_trip_inside",
        "classifier_accuracy",
    } | {
        prefix + name
        for prefix in ("", "codes_", "fitted_", "real_")
        for name in ("sure", "label_entropy")
    }
    points = measure(encode=encode_point)
    assert {name for name, value in points.items() if value is None} == undefined
    assert set(points) == set(perfect) - {"density", "precision", "recall"}


def test_likelihood_that_cannot_be_drawn_from():
    def optimal(weight, z):
        return OptimalNormal(decode(weight, z).mean)

    numbers = measure(optimal)
    for name in ("coverage", "real_coverage", "round_trip", "sensitivity"):
        assert numbers[name] is None
    assert numbers["codes_length_ratio"] == pytest.approx(1, abs=1e-4)


def test_result_is_plain_and_repeats(perfect, labels):
    assert json.loads(json.dumps(perfect)) == perfect
    assert measure(classifier=labels, extras=True) == perfect


def test_diverged_model_gives_none_instead_of_nan():
    numbers = measure(weight=WEIGHT * jnp.nan)
    assert numbers["path_energy"] is None
    assert numbers["frechet_pca"] is None


def test_one_compilation_serves_many_models():
    traces = []

    def counted(weight, z):
        traces.append(z.shape)
        return decode(weight, z)

    measure(counted)
    first = len(traces)
    measure(counted, weight=1.5 * WEIGHT)
    # Once more for the abstract evaluation that finds the likelihood's type.
    assert len(traces) <= first + 1


def test_too_few_images():
    with pytest.raises(DataError, match="at least 6"):
        measure(num_draws=5)


def test_grey_images_are_not_compared_with_binary_draws():
    def binary(weight, z):
        return Bernoulli(decode(weight, z).mean)

    with pytest.raises(DataError, match="grey"):
        measure(binary)


def test_every_number_is_documented(perfect):
    path = pathlib.Path(__file__).parents[2] / "docs" / "regularity.md"
    text = path.read_text()
    names = {name for name in perfect if f"`{name}`" not in text}
    prefixes = ("codes_", "fitted_", "real_")
    undocumented = {
        name
        for name in names
        if not any(
            name.startswith(prefix) and f"`{name.removeprefix(prefix)}`" in text
            for prefix in prefixes
        )
    }
    assert undocumented == set()
    assert np.all([f"`{prefix}`" in text for prefix in prefixes])
