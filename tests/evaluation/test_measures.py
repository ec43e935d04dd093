"""All numbers together, on a linear model whose exact posterior is known."""

import json
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import (
    Bernoulli,
    Deterministic,
    DiagonalNormal,
    OptimalNormal,
)
from vae_jax.errors import ConfigError, DataError
from vae_jax.evaluation import measures
from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.classifier import fit_classifier
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.measures import Effort, regularity
from vae_jax.models.base import LayeredPrior
from vae_jax.outputs import Latent
from vae_jax.quantities import keys_of
from vae_jax.trained import Trained

DIM, NOISE = 2, 0.3
SHAPE = (2, 3, 1)
KEY = jax.random.key(0)
ROWS = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (6, DIM)))[0].T
WEIGHT = ROWS * jnp.array([[2.0], [1.0]])
VARIANCE = 1 / (1 + jnp.array([4.0, 1.0]) / NOISE**2)  # of the exact posterior
NAMES = ("codes", "regularity")
OF_DIMENSIONS = (
    "total_correlation",
    "total_correlation_low",
    "total_correlation_high",
    "total_correlation_standard_error",
    "batch_total_correlation",
    "dimension_kl",
    "dimension_kl_low",
)
TRACES: list[Any] = []


class Linear(nn.Module):
    """x ~ N((z - shift) / scale weight, NOISE^2 I), with the exact posterior of z.

    z itself is N(shift, scale^2 I), and the prior N(0, I). `code_shape` gives its codes
    another form, `upper` adds a layer of one dimension that nothing depends on.
    """

    likelihood: str = "normal"
    is_point: bool = False
    shift: float = 0.0
    scale: float = 1.0
    code_shape: tuple[int, ...] = (DIM,)
    upper: bool = False

    def setup(self) -> None:
        self.weight = self.param("weight", nn.initializers.zeros, (DIM, 6))

    def encode(self, x, key):
        mean = (x.reshape(len(x), -1) @ self.weight.T) / NOISE**2 * VARIANCE[None, :]
        log_std = jnp.broadcast_to(0.5 * jnp.log(VARIANCE), mean.shape)
        mean = (self.scale * mean + self.shift).reshape(-1, *self.code_shape)
        log_std = (log_std + math.log(self.scale)).reshape(mean.shape)
        point = self.is_point
        q = Deterministic(mean) if point else DiagonalNormal(mean, log_std)
        z = q.sample(key)
        latent = Latent(z=z, posterior=q, prior=DiagonalNormal.standard_like(z))
        if not self.upper:
            return (latent,)
        top = DiagonalNormal.standard_like(jnp.zeros((len(x), 1)))
        return latent, Latent(z=top.mean, posterior=top, prior=top)

    def decode(self, codes, given=None):
        TRACES.append(codes[0].shape)
        z = (codes[0].reshape(-1, DIM) - self.shift) / self.scale
        mean = (z @ self.weight).reshape(-1, *SHAPE)
        if self.likelihood == "optimal":
            return OptimalNormal(mean)
        if self.likelihood == "binary":
            return Bernoulli(mean)
        return DiagonalNormal(mean, jnp.full(mean.shape, math.log(NOISE)))

    def joint_prior(self, num, given=None):
        first = DiagonalNormal.standard_like(jnp.zeros((num, *self.code_shape)))
        if not self.upper:
            return LayeredPrior(first)
        top = DiagonalNormal.standard_like(jnp.zeros((num, 1)))
        return LayeredPrior(top, [lambda z: first])


def images(seed, num):
    z_key, x_key = jax.random.split(jax.random.key(seed))
    z = jax.random.normal(z_key, (num, DIM))
    noise = NOISE * jax.random.normal(x_key, (num, *SHAPE))
    return (z @ WEIGHT).reshape(-1, *SHAPE) + noise


TRAIN, HELDOUT = images(1, 3000), images(2, 1000)


def of_arrays(x) -> Split:
    """A split of examples that are all in memory."""
    return Split(lambda rows: x[rows], np.arange(len(x)))


DATA = Data(of_arrays(TRAIN), of_arrays(HELDOUT))


def measure(names=NAMES, data=DATA, weight=WEIGHT, on_undefined=None, **fields):
    trained = Trained(Linear(**fields), {"weight": weight})
    return measures.measure(names, trained, data, KEY, on_undefined=on_undefined)


@pytest.fixture(scope="module")
def labelled():
    """Data with labels: which side of 0 an image lies on, along the first row."""

    def of(x):
        return np.asarray(x.reshape(len(x), -1) @ WEIGHT[0] > 0).astype(np.int32)

    train = Split(lambda rows: TRAIN[rows], np.arange(3000), of(TRAIN))
    heldout = Split(lambda rows: HELDOUT[rows], np.arange(1000), of(HELDOUT))
    return Data(train, heldout, num_classes=2, classifier_key=KEY)


@pytest.fixture(scope="module")
def perfect(labelled):
    """A model that is the data's distribution, with the exact posterior."""
    return measure((*NAMES, "misleading"), labelled)


def test_perfect_model(perfect):
    for prefix in ("", "codes_", "fitted_", "real_"):
        assert perfect[prefix + "coverage"] == pytest.approx(1 - 2**-5, abs=0.02)
        assert perfect[prefix + "frechet_pca"] < 0.02
        expected = pytest.approx(perfect["real_confident"], abs=0.05)
        assert perfect[prefix + "confident"] == expected
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
    # The posterior is as narrow in each dimension as in all, and codes are N(0, I).
    assert perfect["total_correlation"] == pytest.approx(0, abs=0.1)
    assert perfect["dimension_kl"] == pytest.approx(0, abs=0.05)
    assert perfect["length_ratio"] == pytest.approx(1, abs=1e-4)
    assert perfect["path_energy"] == pytest.approx(2 * 5, rel=0.15)
    assert perfect["sensitivity"] == pytest.approx(5 / 4 / NOISE**2, rel=0.15)
    assert perfect["classifier_accuracy"] > 0.97
    assert perfect["density"] == pytest.approx(1, abs=0.15)


def test_posterior_moved_away_from_the_prior_is_repaired_by_fitted_codes():
    """The same codes, shifted and stretched: only where the prior samples changes."""
    moved = measure(shift=4.0, scale=3.0)
    assert moved["coverage"] < 0.5
    assert moved["hole_mass"] > 0.8
    assert moved["outside_prior"] > 0.7
    assert moved["marginal_kl_low"] > 5
    assert moved["code_std"] == pytest.approx(math.hypot(3, 4), abs=2.2)
    for prefix in ("codes_", "fitted_"):
        assert moved[prefix + "coverage"] == pytest.approx(1 - 2**-5, abs=0.02)


def test_numbers_at_codes_do_not_depend_on_the_scale_of_the_latent_space(perfect):
    stretched = measure(("regularity",), scale=10.0)
    for name in ("path_energy", "length_ratio", "sensitivity"):
        name = f"codes_{name}"
        assert stretched[name] == pytest.approx(perfect[name], rel=1e-3)
    assert stretched["path_energy"] < 0.1 * perfect["path_energy"]


def test_codes_of_another_shape_are_the_same_points(perfect):
    spatial = measure(("regularity",), code_shape=(1, DIM, 1))
    without_labels = {k: v for k, v in spatial.items() if v is not None}
    expected = {k: perfect[k] for k in without_labels}
    assert without_labels == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_layer_above_leaves_undefined_only_what_needs_the_density_of_the_prior(
    perfect,
):
    numbers = measure(("codes",), upper=True)
    assert {name for name, value in numbers.items() if value is None} == {
        "outside_prior",
        "marginal_kl",
        "marginal_kl_low",
        "mutual_information",
        "mutual_information_high",
        "mutual_information_cap",
        *OF_DIMENSIONS,
    }
    assert numbers["hole_mass"] == pytest.approx(perfect["hole_mass"], abs=0.08)
    above = measure(("misleading",), upper=True)
    assert above["density"] == pytest.approx(perfect["density"], abs=0.1)


def test_what_is_undefined_is_none(perfect):
    undefined = {
        "mutual_information",
        "mutual_information_high",
        "mutual_information_cap",
        "marginal_kl",
        "marginal_kl_low",
        *OF_DIMENSIONS,
        "snr_log10",
        "round_trip_inside",
        "classifier_accuracy",
    } | {
        prefix + name
        for prefix in ("", "codes_", "fitted_", "real_")
        for name in ("confident", "label_entropy")
    }
    points = measure(is_point=True)
    assert {name for name, value in points.items() if value is None} == undefined
    assert set(points) == set(perfect) - {"density", "precision", "recall"}


def test_likelihood_that_cannot_be_drawn_from():
    numbers = measure(("regularity", "annealing"), likelihood="optimal")
    for name in ("coverage", "real_coverage", "round_trip", "sensitivity", "ais_nll"):
        assert numbers[name] is None
    assert numbers["codes_length_ratio"] == pytest.approx(1, abs=1e-4)


def test_result_is_plain_and_repeats(perfect, labelled):
    assert json.loads(json.dumps(perfect)) == perfect
    assert measure((*NAMES, "misleading"), labelled) == perfect


def test_diverged_model_gives_none_instead_of_nan():
    numbers = measure(("regularity",), weight=WEIGHT * jnp.nan)
    assert numbers["path_energy"] is None
    assert numbers["frechet_pca"] is None


def test_one_compilation_serves_many_models():
    measure(("regularity",))
    before = len(TRACES)
    measure(("regularity",), weight=1.5 * WEIGHT)
    # Once more for the abstract evaluation that finds the likelihood's type.
    assert len(TRACES) <= before + 1


def test_a_measure_that_makes_no_sense_is_null_with_a_reason():
    reasons: dict[str, str] = {}
    few = Data(of_arrays(TRAIN[:5]), of_arrays(HELDOUT))
    numbers = measure(("regularity",), few, on_undefined=reasons.__setitem__)
    assert set(numbers) == set(keys_of(regularity.QUANTITIES))
    assert set(numbers.values()) == {None}
    assert "needs 6 training and 6 held-out images" in reasons["regularity"]
    own = Data(DATA.train, DATA.train, measures_training=True)
    measure(NAMES, own, on_undefined=reasons.__setitem__)
    assert all("was not trained on" in reasons[name] for name in NAMES)


def test_grey_images_are_not_compared_with_binary_draws():
    with pytest.raises(DataError, match="grey"):
        measure(("regularity",), likelihood="binary")


def test_a_measure_gives_the_numbers_that_it_explains(perfect):
    for name, entry in measures.BY_NAME.items():
        keys = keys_of(entry.quantities)
        assert keys, name
        if name in (*NAMES, "misleading"):
            assert set(keys) <= set(perfect)


def test_unknown_measures_are_refused_with_the_nearest_name():
    assert list(measures.selected(["regularity,codes"])) == ["codes", "regularity"]
    with pytest.raises(ConfigError, match="'regularty'.* Did you mean 'regularity'"):
        measures.selected(["regularty"])


def test_progress_of_annealing_counts_both_kinds_of_images():
    seen: list[tuple[int, int]] = []
    annealing = Annealing(num_temperatures=3, num_chains=2)
    effort = Effort(
        annealing=annealing, num_annealed=3, progress=lambda *done: seen.append(done)
    )
    trained = Trained(Linear(), {"weight": WEIGHT})
    numbers = measures.measure(["annealing"], trained, DATA, KEY, effort)
    assert seen[0][1] == 6 and seen[-1] == (6, 6)
    assert numbers["ais_nll_standard_error"] > 0
    gap = numbers["simulated_upper_bound"] - numbers["simulated_lower_bound"]
    assert numbers["simulated_gap"] == pytest.approx(gap)


def test_a_classifier_is_fitted_once_for_all_models(labelled):
    assert labelled.classifier is labelled.classifier
    assert DATA.classifier is None
    direct = fit_classifier(
        TRAIN,
        labelled.train.classes,
        HELDOUT,
        labelled.heldout.classes,
        KEY,
        num_classes=2,
    )
    assert direct.accuracy == labelled.classifier.accuracy
