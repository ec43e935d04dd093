"""Annealing against models whose log p(x) is known, and Hamiltonian Monte Carlo."""

import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

from configs import autoencoder
from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from tests.forked_programs import run_program
from tests.runs_helpers import small_config
from vae_jax.as_text import with_error
from vae_jax.distributions import OptimalNormal
from vae_jax.errors import ConfigError
from vae_jax.evaluation import ais, hmc
from vae_jax.evaluation.annealing import NUM_PILOTS, Annealing, forward_chains
from vae_jax.likelihoods import NormalLikelihood
from vae_jax.models.base import LayeredPrior
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal, VampPrior
from vae_jax.runs import single
from vae_jax.trained import Trained
from vae_jax.training.functions import model_functions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(11)


class Linear(nn.Module):
    """The exact model of `linear_gaussian`, whose parameters are no linen module's."""

    def decode(self, codes, given=None):
        return lg.decode(self.variables["params"], codes[0])

    def joint_prior(self, num, given=None):
        return LayeredPrior(lg.prior(num))


def linear_model(params):
    return Trained(Linear(), params)


PARAMS = lg.make_params()
X_DIM, Z_DIM, TOP_DIM, STD = 4, 3, 2, 0.6


def exact(x, params=PARAMS):
    return lg.exact(params).logpdf(np.asarray(x))


def errors_in_standard_errors(values, expected):
    """How far the mean is from what it should be."""
    return (values.mean() - expected) / (values.std() / np.sqrt(len(values)))


# Hamiltonian Monte Carlo on the linear-Gaussian posterior, tempered.
BETA, NUM_CHAINS = jnp.float32(0.6), 20_000


@pytest.fixture(scope="module")
def tempered():
    """Exact draws of p(z) p(x | z)^beta: where to look up, and mean and covariance."""
    x = lg.draw_x(PARAMS, 1)
    p = jax.tree.map(np.float64, PARAMS["decoder"])
    slope = p["weights"] / np.exp(2 * p["log_std"])
    cov = np.linalg.inv(np.eye(lg.LATENT_DIM) + BETA * slope.T @ p["weights"])
    mean = cov @ slope.T @ (BETA * (np.asarray(x[0]) - p["bias"]))
    many = jnp.broadcast_to(x, (NUM_CHAINS, lg.DATA_DIM))
    log_prior = lg.prior(NUM_CHAINS).log_prob
    at = hmc.points(log_prior, lambda z: lg.decode(PARAMS, z).log_prob(many))
    draws = np.random.default_rng(0).multivariate_normal(mean, cov, NUM_CHAINS)
    return at, jit(at)(np.float32(draws)), np.asarray(mean), np.asarray(cov)


def test_slope_is_that_of_the_density(tempered):
    _, start, mean, cov = tempered
    expected = -(np.asarray(start.z) - mean) @ np.linalg.inv(cov)
    slope = jit(lambda point: point.slope(BETA))(start)
    np.testing.assert_allclose(slope, expected, atol=1e-4)


def test_leapfrog_comes_back(tempered):
    at, start, *_ = tempered
    velocity = np.random.default_rng(1).normal(size=start.z.shape).astype(np.float32)

    @jax.jit
    def ten_steps(start, velocity):
        return hmc.leapfrog(at, start, velocity, BETA, 0.2, 10)

    end, last = ten_steps(start, velocity)
    assert np.abs(np.asarray(end.z) - start.z).mean() > 0.1
    back, first = ten_steps(end, -np.asarray(last))
    np.testing.assert_allclose(back.z, start.z, atol=1e-4)
    np.testing.assert_allclose(first, -velocity, atol=1e-4)


def transition(at, num_steps):
    """A move, compiled; of a point, a key and the size of a step."""
    return jax.jit(
        lambda point, key, size: hmc.transition(at, point, key, BETA, size, num_steps)
    )


@pytest.fixture(scope="module")
def ten_steps(tempered):
    return transition(tempered[0], 10)


def test_tiny_steps_are_all_accepted(tempered, ten_steps):
    _, start, *_ = tempered
    end, acceptance = ten_steps(start, KEY, np.float32(1e-3))
    assert np.min(acceptance) > 0.999
    assert np.all(np.asarray(end.z) != start.z)


def test_long_steps_leave_the_target_as_it_is(tempered):
    """With steps at which many moves are refused: without that, it would drift."""
    at, point, mean, cov = tempered
    move = transition(at, 3)
    for i in range(4):
        point, acceptance = move(point, jax.random.key(i), np.float32(0.75))
    assert 0.3 < np.mean(acceptance) < 0.9
    z = np.asarray(point.z, np.float64) - mean
    for d in range(lg.LATENT_DIM):
        assert abs(errors_in_standard_errors(z[:, d], 0.0)) < 5
        for e in range(d + 1):
            assert abs(errors_in_standard_errors(z[:, d] * z[:, e], cov[d, e])) < 5
    # The lookup that comes along belongs to the place.
    fresh = jit(at)(point.z)
    np.testing.assert_allclose(point.log_lik, fresh.log_lik, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(point.lik_slope, fresh.lik_slope, rtol=1e-4, atol=1e-4)


def test_overshooting_is_refused(tempered, ten_steps):
    _, start, *_ = tempered
    end, acceptance = ten_steps(start, KEY, np.float32(1e30))
    np.testing.assert_array_equal(acceptance, 0)
    np.testing.assert_array_equal(end.z, start.z)


# Annealing.


def test_one_temperature_is_importance_sampling_from_the_prior():
    x = lg.draw_x(PARAMS, 1)
    annealing = Annealing(num_temperatures=1, num_chains=5)
    result = forward_chains(linear_model(PARAMS), x[0], KEY, annealing)
    z = lg.prior(5 + NUM_PILOTS).sample(jax.random.split(KEY)[0])[:5]
    expected = lg.decode(PARAMS, z).log_prob(jnp.broadcast_to(x, (5, lg.DATA_DIM)))
    np.testing.assert_allclose(result["log_w"], expected, rtol=1e-6)


def test_weights_are_unbiased_both_ways():
    """E[w] = p(x) and E[1 / w] = 1 / p(x), with step sizes that are being tuned."""
    count = 6000
    params = lg.make_params()
    params["decoder"]["log_std"] = jnp.log(1.5)  # less to learn, so no heavy tails
    annealing = Annealing(num_temperatures=12, num_chains=2)
    found = ais.bounds_on_simulated(
        linear_model(params), count, KEY, annealing, batch_size=count
    )
    log_px = exact(found["x"], params)
    for ratio in (np.exp(found["lower"] - log_px), np.exp(log_px - found["upper"])):
        assert 0.3 < ratio.std() < 1.5
        assert abs(errors_in_standard_errors(ratio, 1.0)) < 4
    assert found["lower"].mean() < log_px.mean() < found["upper"].mean()


def test_exact_likelihood_of_given_images():
    x = lg.draw_x(PARAMS, 30)
    seen = []
    found = ais.annealed_likelihood(
        linear_model(PARAMS),
        x,
        KEY,
        Annealing(num_temperatures=500),
        batch_size=15,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(15, 30), (30, 30)]
    assert abs(np.mean(found["log_px"] - exact(x))) < 0.1
    np.testing.assert_allclose(found["log_px"], exact(x), atol=0.5)
    assert 0.6 < found["acceptance"].mean() < 0.75
    weights = np.exp(found["log_w"] - found["log_w"].max(axis=1, keepdims=True))
    ess = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    np.testing.assert_allclose(found["ess"], ess, rtol=1e-4)
    assert ess.mean() > 12


def test_chunks_change_nothing():
    x = lg.draw_x(PARAMS, 5)
    annealing = Annealing(num_temperatures=20, num_chains=3)
    whole, parts = (
        ais.annealed_likelihood(
            linear_model(PARAMS), x, KEY, annealing, batch_size=size
        )
        for size in (5, 2)
    )
    for name, values in whole.items():
        assert len(values) == 5
        np.testing.assert_allclose(parts[name], values, rtol=1e-3, err_msg=name)
    assert len(np.unique(whole["log_w"])) == 15  # no two chains are the same


def linear(dim):
    return nn.Sequential([MLPEncoder(()), DiagonalNormalPosterior(dim)])


def decoder():
    return nn.Sequential([MLPDecoder((X_DIM,), ()), NormalLikelihood("fixed", STD)])


MODELS = {
    "vamp": lambda encoder: VAE(encoder, VampPrior(encoder, (X_DIM,), 3), decoder()),
    "two_layers": lambda encoder: HierarchicalVAE(
        [encoder, linear(TOP_DIM)], StandardNormal(TOP_DIM), [decoder(), linear(Z_DIM)]
    ),
}


def exact_of(name, model, params, x):
    """log p(x): z is a mixture of normals in both models, and x linear in z."""
    if name == "vamp":
        prior = model.apply({"params": params}, 1, method=lambda m, n: m.prior(n))
        log_weights, means = np.asarray(prior.log_weights), prior.component_mean
        covariances = [np.diag(np.exp(2 * s)) for s in prior.component_log_std]
    else:
        log_weights = np.zeros(1)
        upper = jax.tree.map(np.float64, params["decoders_1"]["layers_1"])
        to_z = upper["mean"]["kernel"]
        variance = np.exp(2 * upper["log_std"]["bias"])
        means = upper["mean"]["bias"][None]
        covariances = [to_z.T @ to_z + np.diag(variance)]
    part = "decoders_0" if name == "two_layers" else "decoder"
    dense = jax.tree.map(np.float64, params[part]["layers_0"]["Dense_0"])
    parts = [
        log_weight
        + scipy.stats.multivariate_normal(
            mean @ dense["kernel"] + dense["bias"],
            dense["kernel"].T @ cov @ dense["kernel"] + STD**2 * np.eye(X_DIM),
        ).logpdf(x)
        for log_weight, mean, cov in zip(log_weights, means, covariances, strict=True)
    ]
    return logsumexp(parts, axis=0)


@pytest.mark.parametrize("name", MODELS)
def test_sandwich(name):
    """The true value lies between two numbers, for any prior."""
    model = MODELS[name](linear(Z_DIM))
    params = jit(model_functions(model).init)(KEY, np.zeros((2, X_DIM), np.float32))
    if name == "two_layers":  # a constant p(z1 | z2) noise, or there's no exact value
        log_std = params["decoders_1"]["layers_1"]["log_std"]
        log_std["kernel"] = jnp.zeros_like(log_std["kernel"])
        log_std["bias"] = jnp.full_like(log_std["bias"], -0.3)
    if name == "vamp":  # components that differ
        params["prior"]["pseudo_inputs"] = jax.random.uniform(KEY, (3, X_DIM))
    found = ais.bounds_on_simulated(
        Trained(model, params),
        100,
        KEY,
        Annealing(num_temperatures=150, num_chains=8, num_leapfrog=5),
        batch_size=100,
    )
    log_px = exact_of(name, model, params, found["x"])
    below, above = log_px - found["lower"], found["upper"] - log_px
    for gap in (below, above):
        assert abs(gap.mean()) < 0.1
        assert errors_in_standard_errors(gap, 0.0) > -5
    assert (below + above).mean() < 0.1


def test_averages_over_images():
    real = {
        "log_px": np.array([-90.0, -94.0]),
        "ess": np.array([3.0, 4.0]),
        "acceptance": np.array([0.6, 0.8]),
    }
    simulated = {
        "lower": np.array([-80.0, -90.0]),
        "upper": np.array([-79.0, -88.0]),
    }
    assert ais.summarize(real, simulated) == {
        "nll": 92.0,
        "nll_standard_error": pytest.approx(2.0),
        "effective_sample_size": 3.5,
        "acceptance": pytest.approx(0.7),
        "simulated_lower_bound": -85.0,
        "simulated_upper_bound": -83.5,
        "simulated_gap": 1.5,
        "simulated_gap_standard_error": pytest.approx(0.5),
    }
    one = ais.summarize(
        {name: values[:1] for name, values in real.items()},
        {name: values[:1] for name, values in simulated.items()},
    )
    assert one["nll_standard_error"] is None


@pytest.mark.parametrize("schedule", ["sigmoid", "linear"])
def test_schedule_rises_from_0_to_1(schedule):
    betas = Annealing(num_temperatures=10, schedule=schedule).betas()
    rises = np.diff(betas)
    assert betas[0] == 0
    assert betas[-1] == 1
    np.testing.assert_allclose(rises, rises[::-1])
    if schedule == "linear":
        np.testing.assert_allclose(rises, 0.1)
    else:
        assert np.all(np.diff(rises[:5]) > 0)
        # Their sigmoid_schedule(11), rad=4.
        np.testing.assert_allclose(betas[1:3], [0.0222, 0.0672], atol=1e-3)
    one = Annealing(num_temperatures=1, schedule=schedule).betas()
    np.testing.assert_array_equal(one, [0, 1])


def test_what_makes_no_sense_is_refused():
    for name in ("num_temperatures", "num_chains", "num_leapfrog"):
        with pytest.raises(ConfigError, match=f"{name}=0: must be a whole"):
            Annealing(**{name: 0})
    with pytest.raises(ConfigError, match="'cosine': must be one of sigmoid, linear"):
        Annealing(schedule="cosine")
    with pytest.raises(ConfigError, match="num_images=0"):
        ais.bounds_on_simulated(linear_model(PARAMS), 0, KEY, Annealing())
    with pytest.raises(ConfigError, match="batch_size=0"):
        ais.bounds_on_simulated(linear_model(PARAMS), 1, KEY, Annealing(), batch_size=0)

    class Profile(Linear):
        def decode(self, codes, given=None):
            return OptimalNormal(codes[0])

    profile = Trained(Profile(), PARAMS)
    with pytest.raises(ConfigError, match="OptimalNormal, which is not normalised"):
        ais.annealed_likelihood(profile, jnp.zeros((2, 3)), KEY, Annealing())


# The program.


def test_flags_of_evaluate():
    for flags, line in {
        (
            "--measures=annealing",
            "--num_chains=0",
        ): "--num_chains=0: must be a whole number above 0",
        ("--num_temperatures=9",): "=9 has no effect without --measures=annealing",
    }.items():
        status, out, err = run_program("evaluate", "--workdir=no", *flags)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert line in err
        assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_autoencoder_gets_an_nll(tmp_path):
    fields = {"data.name": "digits", "train.num_steps": 1, "train.eval_every": 0}
    config = small_config(autoencoder.get_config(), **fields)
    single.train(config, tmp_path)
    flags = ("--num_images=3", "--num_temperatures=5", "--num_chains=2")
    status, out, err = run_program(
        "evaluate", f"--workdir={tmp_path}", "--measures=annealing", *flags
    )
    assert status == 0, err
    assert "measure test 0%  annealing" in err and "measure test 100%" in err
    path = tmp_path / "evaluation" / "test_annealing_t5_c2_n3.json"
    results = json.loads(path.read_text())
    pair = with_error(results["ais_nll"], results["ais_nll_standard_error"])
    assert " ± ".join(pair) in out
    assert results["num_images"] == 3
    assert 0 < results["ais_nll"] < 10_000
    assert results["simulated_gap"] == pytest.approx(
        results["simulated_upper_bound"] - results["simulated_lower_bound"]
    )
