"""The loss of discrete codes, term by term, and its bound of log p(x)."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats

import vae_jax
from tests.battery import FAST_COMPILE
from vae_jax.distributions import Bernoulli, UniformCodes
from vae_jax.distributions.quantized import Quantized, QuantizedBits, bits_of
from vae_jax.errors import ConfigError
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.base import Chain
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives.quantized import quantized
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.priors import UniformPrior
from vae_jax.quantizers.scalar import LFQPosterior
from vae_jax.quantizers.vector import VQPosterior
from vae_jax.training.functions import model_functions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(0)
K, B, S, D = 2, 3, 4, 3
C = 2**D
X = jax.random.bernoulli(KEY, 0.4, (B, 5)).astype(jnp.float32)
BEFORE = jax.random.normal(jax.random.key(1), (K, B, S, D))
LOGITS = jax.random.normal(jax.random.key(2), (K, B, 5))
CODES = 2.0 * bits_of(jnp.arange(C), D) - 1.0


def output():
    """With a sample axis, and other vectors in each sample."""

    def of_sample(before, logits):
        index = ((before >= 0) * jnp.array([[[1, 2, 4]]])).sum(axis=-1)
        q = QuantizedBits.straight_through(before, index, CODES)
        latent = Latent(z=q.mean, posterior=q, prior=UniformCodes(CODES, B, (S,)))
        return VAEOutput(Bernoulli(logits), (latent,))

    return jax.vmap(of_sample)(BEFORE, LOGITS)


def hparams(**values):
    weights = {"kl_weight": 1.0, "commitment_weight": 0.25, "entropy_weight": 0.1}
    return vae_jax.make_hparams(**{**weights, **values})


def test_every_term_is_the_formula():
    """In NumPy; sums over sites, means over examples and samples."""
    beta, gamma = 0.8, 0.6
    objective = quantized(inverse_temperature=beta, diversity=gamma)
    call = jit(lambda output, weights: objective(output, X, weights))
    loss, metrics = call(output(), hparams(kl_weight=0.5))
    before, codes = np.float64(BEFORE), np.float64(CODES)
    nearest = np.where(before >= 0, 1.0, -1.0)
    commitment = ((before - nearest) ** 2).sum(axis=(-1, -2)).mean()
    squares = ((before[..., None, :] - codes) ** 2).sum(axis=-1)
    p = scipy.special.softmax(-beta * squares, axis=-1)
    each = scipy.stats.entropy(p, axis=-1).sum(axis=-1).mean()
    of_all = [scipy.stats.entropy(q.reshape(-1, C).mean(axis=0)) for q in p]
    penalty = each - gamma * S * np.mean(of_all)
    logits, x = np.float64(LOGITS), np.float64(X)
    distortion = -(x * logits - np.logaddexp(0, logits)).sum(axis=-1).mean()
    rate = S * math.log(C)
    expected = distortion + 0.5 * rate + 0.25 * commitment + 0.1 * penalty
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    numbers = ((nearest > 0) * [1, 2, 4]).sum(axis=-1).reshape(-1)
    counts = np.bincount(numbers, minlength=C)
    wanted = {
        "elbo": -(distortion + rate),
        "rate": rate,
        "distortion": distortion,
        "commitment": commitment,
        "entropy_penalty": penalty,
        "perplexity": np.exp(scipy.stats.entropy(counts)),
        "kl_weight": 0.5,
    }
    assert metrics.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


def test_only_vectors_are_pulled_by_the_commitment():
    def loss(before):
        q = Quantized.straight_through(before, jnp.zeros((B, S), jnp.int32), CODES)
        latent = Latent(z=q.mean, posterior=q, prior=UniformCodes(CODES, B, (S,)))
        out = VAEOutput(Bernoulli(LOGITS[0]), (latent,))
        out = jax.tree.map(lambda leaf: leaf[None], out)
        return quantized()(
            out, X, vae_jax.make_hparams(kl_weight=1, commitment_weight=1)
        )

    gradient, metrics = jit(jax.grad(loss, has_aux=True))(BEFORE[0])
    expected = 2 * (np.asarray(BEFORE[0]) - np.asarray(CODES[0])) / B
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    assert "entropy_penalty" not in metrics


def model(posterior):
    encoder = Chain([MLPEncoder((6,)), posterior])
    prior = UniformPrior(encoder, (5,))
    decoder = Chain([MLPDecoder((5,), (6,)), BernoulliLikelihood()])
    return VAE(encoder=encoder, prior=prior, decoder=decoder)


def test_the_nll_is_distortion_and_the_length_of_the_code():
    """So many sites times log C, exactly: a draw of the code is always the same."""
    module = model(LFQPosterior(num_bits=3, num_sites=2))
    functions = model_functions(module)
    variables = jit(functions.init)(KEY, X)
    found = vae_jax.evaluate(module, variables, X, KEY, num_samples=3)
    rate = 2 * math.log(8)
    np.testing.assert_allclose(found["rate"], rate, rtol=1e-6)
    np.testing.assert_allclose(found["nll"], found["distortion"] + rate, rtol=1e-6)
    np.testing.assert_allclose(found["nll"], -found["elbo"], rtol=1e-6)
    np.testing.assert_allclose(found["effective_sample_size"], 3, rtol=1e-5)


def test_a_vq_model_trains_its_codes_beside_its_parameters():
    """The step tells the quantiser that it trains, wherever in the chain it stands."""
    module = model(VQPosterior(num_codes=4, code_dim=2, num_sites=2))
    trainer = vae_jax.vae_trainer(module, quantized(), optax.adam(1e-3), num_samples=2)
    weights = vae_jax.make_hparams(kl_weight=1.0, commitment_weight=0.25)
    state = jit(trainer.init)(KEY, X)
    step = jit(trainer.step)
    for _ in range(2):
        before = state.model_state
        state, metrics = step(state, X, KEY, weights)
    (codebook,) = [s for s in jax.tree.leaves(state.model_state) if s.shape == (4, 2)]
    (old,) = [s for s in jax.tree.leaves(before) if s.shape == (4, 2)]
    assert (np.asarray(codebook) != np.asarray(old)).any()
    steps = [s for s in jax.tree.leaves(state.model_state) if s.shape == ()]
    np.testing.assert_array_equal(steps, [2])
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inverse_temperature": 0.0}, r"inverse_temperature=0\.0: must be"),
        ({"diversity": -1.0}, r"diversity=-1\.0: must be"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    with pytest.raises(ConfigError, match=message):
        quantized(**arguments)
