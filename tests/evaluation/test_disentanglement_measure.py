"""The measure `disentanglement`: which codes and factors it takes, and what it says."""

import logging

import flax.linen as nn
import jax
import numpy as np
import pytest

from vae_jax.distributions import DiagonalNormal, UniformCodes
from vae_jax.evaluation import measures
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.disentanglement import irs, mig, together
from vae_jax.evaluation.measures import disentanglement
from vae_jax.outputs import Latent
from vae_jax.quantities import keys_of
from vae_jax.quantizers.scalar import grid, quantize
from vae_jax.trained import Trained

KEY = jax.random.key(0)
NUM = 400
RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=NUM) for size in (3, 4)], axis=1)
X = np.zeros((NUM, 2, 1, 1), np.float32)
X[:, :, 0, 0] = FACTORS + 0.2 * RNG.normal(size=FACTORS.shape)
KEYS = {f"{key}{end}" for key in ("mig", "irs") for end in ("", "_standard_error")}


class Same(nn.Module):
    """The two numbers of an image are the means of its code; nothing is decoded."""

    code_shape: tuple[int, ...] = (2,)
    discrete: bool = False
    decodes_all_layers: bool = False

    def encode(self, x, key):
        if self.discrete:
            q = quantize(x.reshape(-1, 2, 1), (5,))
            prior = UniformCodes(grid((5,)), len(x), (2,))
            return (Latent(z=q.sample(key), posterior=q, prior=prior),)
        mean = x.reshape(-1, *self.code_shape)
        q = DiagonalNormal(mean, mean * 0 - 1)
        latent = Latent(z=q.sample(key), posterior=q, prior=q)
        return (latent, latent) if self.decodes_all_layers else (latent,)


@pytest.fixture
def quick(monkeypatch):
    """Two metrics that take no time."""
    few = [metric for metric in together.METRICS if metric.keys[0] in KEYS]
    monkeypatch.setattr(together, "METRICS", few)


def of_split(factors=None, classes=None):
    split = Split(lambda rows: X[rows], np.arange(NUM), classes, factors)
    return Data(split, split)


def numbers_of(data, model=None):
    reasons = {}
    numbers = measures.measure(
        ["disentanglement"],
        Trained(model or Same(), {}),
        data,
        KEY,
        on_undefined=reasons.__setitem__,
    )
    return numbers, reasons.get("disentanglement")


def test_its_metrics_give_the_numbers_that_it_explains():
    scores = [key for metric in together.METRICS for key in metric.keys]
    assert sorted(scores) == sorted(keys_of(disentanglement.SCORES))
    errors = [f"{key}_standard_error" for key in scores]
    others = ["disentanglement_factors"]
    explained = keys_of(disentanglement.QUANTITIES)
    assert sorted([*scores, *errors, *others]) == sorted(explained)


def test_it_measures_posterior_means_against_the_factors(quick):
    numbers, reason = numbers_of(of_split(FACTORS))
    assert reason is None
    assert {key for key, value in numbers.items() if value is not None} == {
        *KEYS,
        "disentanglement_factors",
    }
    means = X.reshape(NUM, 2)
    assert numbers["mig"] == pytest.approx(mig(means, FACTORS))
    assert numbers["irs"] == pytest.approx(irs(means, FACTORS))
    assert numbers["disentanglement_factors"] == 2
    assert 0 < numbers["mig_standard_error"] < 0.05
    assert numbers == numbers_of(of_split(FACTORS))[0]


def test_a_label_stands_in_for_factors_and_the_log_says_so(quick, caplog):
    classes = np.where(np.arange(NUM) % 5, FACTORS[:, 1], -1)  # some are not known
    with caplog.at_level(logging.INFO):
        numbers, _ = numbers_of(of_split(classes=classes))
    assert "with the label as the only factor" in caplog.text
    known = classes >= 0
    direct = mig(X.reshape(NUM, 2)[known], classes[known])
    assert numbers["mig"] == pytest.approx(direct)
    assert numbers["disentanglement_factors"] == 1


def test_factors_that_hardly_vary_are_left_out(quick):
    rare = (np.arange(NUM) < 31).astype(int)
    constant = np.full(NUM, 3)
    factors = np.stack([rare, FACTORS[:, 0], constant], axis=1)
    numbers, _ = numbers_of(of_split(factors))
    assert numbers["disentanglement_factors"] == 1
    assert numbers["mig"] == pytest.approx(mig(X.reshape(NUM, 2), FACTORS[:, 0]))


def test_it_says_why_it_is_not_defined():
    factors = of_split(FACTORS)
    for data, model, words in [
        (of_split(), None, "needs factors of variation or labels, and the data have"),
        (of_split(np.full((NUM, 1), 3)), None, "two values that occur in 32 held-out"),
        (of_split(classes=np.full(NUM, -1)), None, "two values that occur in 32"),
        (
            factors,
            Same(discrete=True),
            "codes that are numbers, not those of Quantized",
        ),
        (
            factors,
            Same((2, 1, 1)),
            r"codes that are vectors, not arrays of shape (2, 1, 1)",
        ),
        (factors, Same(decodes_all_layers=True), "this one needs all layers'"),
    ]:
        numbers, reason = numbers_of(data, model)
        assert reason is not None and words in reason
        assert set(numbers.values()) == {None}
