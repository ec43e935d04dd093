"""What is measured of discrete codes, and what is not defined of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from vae_jax.distributions import DiagonalNormal, UniformCodes
from vae_jax.evaluation import measures
from vae_jax.evaluation.data import Data, Split
from vae_jax.models.base import LayeredPrior
from vae_jax.outputs import Latent
from vae_jax.quantizers.scalar import grid, quantize
from vae_jax.trained import Trained

KEY = jax.random.key(0)
LEVELS, SITES = (5,), 2
NUM = 1_234  # no multiple of a chunk


class Rounding(nn.Module):
    """The two numbers of an image [2, 1, 1], each rounded to five levels."""

    def encode(self, x, key):
        q = quantize(x.reshape(-1, SITES, 1), LEVELS)
        prior = UniformCodes(grid(LEVELS), len(x), (SITES,))
        return (Latent(z=q.sample(key), posterior=q, prior=prior),)

    def decode(self, codes, given=None):
        mean = 2.0 * codes[0].reshape(-1, 2, 1, 1)
        return DiagonalNormal(mean, jnp.full(mean.shape, -1.0))

    def joint_prior(self, num, given=None):
        return LayeredPrior(UniformCodes(grid(LEVELS), num, (SITES,)))


def of_arrays(x):
    return Split(lambda rows: x[rows], np.arange(len(x)))


def data(low):
    """Numbers from `low` up to 3."""
    x = np.random.default_rng(0).uniform(low, 3, (NUM, 2, 1, 1)).astype(np.float32)
    return Data(of_arrays(x), of_arrays(x[::-1].copy()))


@pytest.mark.parametrize(("low", "used"), [(-3, 5), (-0.1, 3)])
def test_usage_and_perplexity_are_over_the_whole_split(low, used):
    some = data(low)
    numbers = measures.measure(["codebook"], Trained(Rounding(), {}), some, KEY)
    half = 2 * 1.001
    levels = np.round(np.tanh(some.heldout.x()) * half)
    _, counts = np.unique(levels, return_counts=True)
    assert counts.sum() == NUM * SITES and len(counts) == used
    assert numbers["code_usage"] == pytest.approx(used / 5)
    entropy = scipy.stats.entropy(counts)
    assert numbers["code_perplexity"] == pytest.approx(np.exp(entropy), rel=1e-5)


def test_between_discrete_codes_there_is_nothing_to_measure():
    numbers = measures.measure(["regularity"], Trained(Rounding(), {}), data(-3), KEY)
    undefined = {name for name, value in numbers.items() if value is None}
    places = ("", "codes_")
    lines = ("length_ratio", "path_energy", "sensitivity")
    labels = ("confident", "label_entropy")
    assert undefined == {
        *(place + name for place in places for name in lines),
        *(place + name for place in (*places, "real_") for name in labels),
        *("fitted_" + name for name in ("coverage", "frechet_pca", *labels)),
        "classifier_accuracy",
        "round_trip_inside",
    }
    # tanh sends most numbers to the outer levels; the prior has all of them alike.
    assert numbers["codes_frechet_pca"] < numbers["frechet_pca"]


def test_each_measure_says_why_it_is_not_defined():
    reasons: dict[str, str] = {}
    names = ["codes", "codebook", "annealing"]
    trained = Trained(Rounding(), {})
    measures.measure(names, trained, data(-3), KEY, on_undefined=reasons.__setitem__)
    assert reasons.keys() == {"codes", "annealing"}
    assert "not Quantized" in reasons["codes"]
    assert "not discrete ones" in reasons["annealing"]

    class Normal(Rounding):
        def encode(self, x, key):
            q = DiagonalNormal.standard_like(x.reshape(-1, 2))
            return (Latent(z=q.mean, posterior=q, prior=q),)

    why = measures.BY_NAME["codebook"].why_not(Trained(Normal(), {}), data(-3))
    assert why == "needs discrete codes, not those of DiagonalNormal"
