"""The gradient of every objective at several KL weights, for encoder and decoder.

The reference is the objective's own target written out in numpy's float64 for the
linear-Gaussian model, and differentiated by central differences with the same noise.
Objectives that follow the plain gradient of their bound agree with it noise by noise;
`stl` and the encoder's half of `dreg` only in the mean. The encoder's target of `piwae`
is MIWAE, and the decoder's IWAE.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from vae_jax import objectives
from vae_jax.distributions import DiagonalNormal
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.training.functions import ModelFunctions, model_functions
from vae_jax.training.split import separate_encoder
from vae_jax.training.state import make_hparams

WEIGHTS = (0.0, 0.5, 1.0, 2.0)
N, K, B = 2000, 4, 2
ARGUMENTS = {
    "miwae": {"num_groups": 2},
    "piwae": {"num_groups": 2},
    "ciwae": {"elbo_share": 0.3},
    "renyi": {"alpha": 0.6},
}
CAPACITY = 0.5  # nats, below the rate
PARAMS = lg.make_params(shift=0.3, log_scale=0.2)
X = lg.draw_x(PARAMS, B)
EPS = np.random.default_rng(0).normal(size=(N, K, B, lg.LATENT_DIM))


def mean_log(log_w):
    return logsumexp(log_w, axis=1) - np.log(log_w.shape[1])


def elbo(log_lik, log_ratio, kl, b):
    return log_lik.mean(axis=1) - b * kl


def elbo_mc(log_lik, log_ratio, kl, b):
    return (log_lik + b * log_ratio).mean(axis=1)


def iwae(log_lik, log_ratio, kl, b):
    return mean_log(log_lik + b * log_ratio)


def capacity(log_lik, log_ratio, kl, b):
    return log_lik.mean(axis=1) - b * abs(kl.mean() - CAPACITY)


def miwae(log_lik, log_ratio, kl, b):
    log_w = log_lik + b * log_ratio
    return (mean_log(log_w[:, : K // 2]) + mean_log(log_w[:, K // 2 :])) / 2


def ciwae(*terms):
    return 0.3 * elbo_mc(*terms) + 0.7 * iwae(*terms)


def renyi(log_lik, log_ratio, kl, b):
    return mean_log(0.4 * (log_lik + b * log_ratio)) / 0.4


# What the encoder's and what the decoder's parameters minimise minus of, [N, B].
TARGETS = {
    "elbo": (elbo, elbo),
    "capacity": (capacity, capacity),
    "elbo_mc": (elbo_mc, elbo_mc),
    "stl": (elbo_mc, elbo_mc),
    "iwae": (iwae, iwae),
    "dreg": (iwae, iwae),
    "miwae": (miwae, miwae),
    "piwae": (miwae, iwae),
    "ciwae": (ciwae, ciwae),
    "renyi": (renyi, renyi),
}


def terms(params):
    """log p(x | z) and log p(z) - log q(z | x), [N, K, B], and KL [B], in float64."""
    q, p = params["encoder"], params["decoder"]
    x = np.float64(X)
    mean, std = x @ q["weights"] + q["bias"], np.exp(q["log_std"])
    z = mean + std * EPS
    error = (x - z @ p["weights"].T - p["bias"]) / np.exp(p["log_std"])
    size = lg.DATA_DIM * (p["log_std"] + 0.5 * np.log(2 * np.pi))
    log_lik = -0.5 * (error**2).sum(axis=-1) - size
    log_ratio = (0.5 * (EPS**2 - z**2) + q["log_std"]).sum(axis=-1)
    kl = 0.5 * (mean**2 + std**2 - 1) - q["log_std"]
    return log_lik, log_ratio, kl.sum(axis=-1)


@functools.cache
def perturbed_terms():
    """The terms on both sides of each parameter: half, name, place, above, below."""
    half_step, found = 1e-5, []
    exact = jax.tree.map(np.float64, PARAMS)
    for half, arrays in exact.items():
        for name, array in arrays.items():
            for place in np.ndindex(array.shape):
                sides = []
                for step in (half_step, -half_step):
                    moved = np.array(array)
                    moved[place] += step
                    own = {**arrays, name: moved}
                    sides.append(terms({**exact, half: own}))
                found.append((half, name, place, *sides))
    return found


def apply(params, x, eps):
    """The model with the noise in the place of a key."""
    posterior = lg.encode(params, x)
    z = posterior.mean + posterior.std * eps
    prior = DiagonalNormal(jnp.zeros_like(z), jnp.zeros_like(z))
    return VAEOutput(lg.decode(params, z), (Latent(z, posterior, prior),))


def gradients(name):
    """Of the library's objective: a tree of arrays [weights, N, ...]."""
    model = ModelFunctions(lambda key, x: PARAMS, apply)
    objective = objectives.BY_NAME[name](**ARGUMENTS.get(name, {}))
    if objective.splits_encoder:
        model = model_functions(separate_encoder(model))

    def loss(params, eps, weight):
        output = jax.vmap(lambda e: model.apply(params, X, e))(eps)
        hparams = make_hparams(kl_weight=weight, capacity=CAPACITY)
        return objective(output, X, hparams)[0]

    over_noise = jax.vmap(jax.grad(loss), in_axes=(None, 0, None))
    over_weights = jax.vmap(over_noise, in_axes=(None, None, 0))
    compiled = jax.jit(over_weights, compiler_options=FAST_COMPILE)
    return compiled(PARAMS, jnp.float32(EPS), jnp.float32(WEIGHTS))


# Objectives that read one of these are the ELBO and a term over the whole batch, whose
# gradient tests/objectives/test_penalties.py looks at.
PENALTIES = {"tc_weight", "covariance_weight", "mmd_weight"}
MADE = {name: f(**ARGUMENTS.get(name, {})) for name, f in objectives.BY_NAME.items()}
# Of any model with a normal posterior.
OF_NORMALS = [
    name
    for name, own in MADE.items()
    if issubclass(DiagonalNormal, own.needs_posterior)
    and not own.needs_extras
    and not set(own.hparams or ()) & PENALTIES
]


@pytest.mark.parametrize("name", OF_NORMALS)
def test_gradient_is_that_of_the_target_at_every_weight(name):
    found = jax.tree.map(np.float64, gradients(name))
    targets = dict(zip(("encoder", "decoder"), TARGETS[name], strict=True))
    for half, part, place, above, below in perturbed_terms():
        for i, weight in enumerate(WEIGHTS):
            sides = [targets[half](*side, weight) for side in (above, below)]
            expected = -(sides[0] - sides[1]).mean(axis=1) / 2e-5
            difference = found[half][part][(i, slice(None), *place)] - expected
            # Five standard errors of the mean; 0.002 covers rounding in float32.
            error = 5 * difference.std() / np.sqrt(N)
            where = half, part, place, weight, difference.mean(), expected.mean()
            assert abs(difference.mean()) < error + 2e-3, where


def test_only_estimators_that_say_so_differ_from_their_target_noise_by_noise():
    """Otherwise the band of the test above could be wide enough for anything."""
    for name in ("iwae", "dreg", "stl"):
        found = gradients(name)["encoder"]["bias"][2]  # at weight 1
        expected = np.zeros_like(found)
        for half, part, place, above, below in perturbed_terms():
            if (half, part) == ("encoder", "bias"):
                sides = [TARGETS[name][0](*side, 1.0) for side in (above, below)]
                expected[(slice(None), *place)] = -(sides[0] - sides[1]).mean(1) / 2e-5
        spread = np.std(found - expected)
        assert (spread < 1e-3) == (name == "iwae")
        assert spread < 1.0
