"""Objectives with a term over the whole batch, against NumPy in double precision."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special, stats

from tests.training.small import KEY, Model, jit, make
from vae_jax import ensemble, make_hparams
from vae_jax.distributions import Bernoulli, Deterministic, DiagonalNormal
from vae_jax.distributions.mixtures import NormalMixture
from vae_jax.errors import ContractError
from vae_jax.objectives import factor, mmd, moments
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.objectives.total_correlation import (
    batch_total_correlation,
    beta_tc,
)
from vae_jax.outputs import Latent, VAEOutput, note_axes

K, B, D = 2, 6, 3
RNG = np.random.default_rng(0)
MEAN, STD = RNG.normal(size=(B, D)), RNG.uniform(0.2, 1.5, (B, D))
LOG_STD = np.log(STD)
EPS = RNG.normal(size=(K, B, D))
X = jnp.asarray(RNG.integers(0, 2, (B, 4, 1, 1)), jnp.float32)
IMAGES = RNG.integers(0, 2, (B, 5)).astype(np.float32)  # of tests.training.small


def made_output(mean=MEAN, log_std=LOG_STD, deterministic=False, shape=(D,)):
    """An output with K draws, made from the parameters of q(z | x), [B, D]."""

    def one(eps):
        q = DiagonalNormal(jnp.float32(mean), jnp.float32(log_std))
        z = q.mean if deterministic else q.mean + q.std * jnp.float32(eps)
        q, z = jax.tree.map(lambda leaf: leaf.reshape(-1, *shape), (q, z))
        posterior = Deterministic(q.mean) if deterministic else q
        latent = Latent(z, posterior, DiagonalNormal.standard_like(z))
        logits = jnp.broadcast_to(0.1 * z.reshape(len(z), -1).sum(1), (4, 1, 1, len(z)))
        return note_axes(VAEOutput(Bernoulli(jnp.moveaxis(logits, -1, 0)), (latent,)))

    return jax.vmap(one)(jnp.float32(EPS))


output_of = jit(made_output, static_argnames=("deterministic", "shape"))


def total_correlation_by_hand(z):
    log_q = stats.norm.logpdf(z[:, None], MEAN[None], STD[None])  # [B, B, D]
    joint = special.logsumexp(log_q.sum(axis=2), axis=1) - math.log(B)
    marginals = special.logsumexp(log_q, axis=1) - math.log(B)
    return (joint - marginals.sum(axis=1)).mean()


def penalty_of(objective, name, output, weight=3.0, key=KEY):
    """What a weight adds to the ELBO's loss, over that weight; and all metrics."""
    hparams = make_hparams(kl_weight=2.0, **{name: weight})

    @jit
    def with_and_without(output):
        params = objective.init(KEY, output)
        own = objective.apply(params, output, X, hparams, key)
        return own, elbo_loss(output, X, make_hparams(kl_weight=2.0))

    (loss, metrics), (without, usual) = with_and_without(output)
    assert {n: metrics[n] for n in usual} == usual
    return (loss - without) / weight, metrics


@pytest.mark.parametrize("shape", [(D,), (1, D, 1)])
def test_total_correlation_of_a_batch(shape):
    penalty, metrics = penalty_of(beta_tc, "tc_weight", output_of(shape=shape))
    expected = np.mean([total_correlation_by_hand(MEAN + STD * eps) for eps in EPS])
    np.testing.assert_allclose(metrics["tc"], expected, rtol=1e-4)
    np.testing.assert_allclose(penalty, expected, rtol=1e-4)


def test_total_correlation_of_one_dimension_and_of_one_example_is_0():
    q = DiagonalNormal(jnp.float32(MEAN), jnp.float32(LOG_STD))

    @jit
    def of_the_first_dimension_and_of_the_first_example():
        z = q.sample(KEY)
        first = jax.tree.map(lambda leaf: leaf[:, :1], (q, z))
        alone = jax.tree.map(lambda leaf: leaf[:1], (q, z))
        return batch_total_correlation(*first), batch_total_correlation(*alone)

    found = of_the_first_dimension_and_of_the_first_example()
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_minibatch_weighted_sampling_differs_by_a_constant():
    """(D - 1) log N, so its gradient is the same."""
    z, num_train = MEAN + STD * EPS[0], 60_000
    log_q = stats.norm.logpdf(z[:, None], MEAN[None], STD[None])
    joint = special.logsumexp(log_q.sum(axis=2), axis=1) - math.log(B * num_train)
    marginals = special.logsumexp(log_q, axis=1) - math.log(B * num_train)
    weighted = (joint - marginals.sum(axis=1)).mean()
    q = DiagonalNormal(jnp.float32(MEAN), jnp.float32(LOG_STD))
    found = jit(batch_total_correlation)(q, jnp.float32(z))
    np.testing.assert_allclose(
        weighted - found, (D - 1) * math.log(num_train), rtol=1e-5
    )


@pytest.mark.parametrize("of_draws", [False, True])
def test_covariance_penalty(of_draws):
    objective = (moments.dip_ii if of_draws else moments.dip_i)(diagonal_ratio=4.0)
    penalty, metrics = penalty_of(objective, "covariance_weight", output_of())
    covariance = np.cov(MEAN.T, bias=True)
    if of_draws:
        covariance += np.diag((STD**2).mean(axis=0))
    off = covariance - np.diag(np.diag(covariance))
    expected = (off**2).sum() + 4.0 * ((np.diag(covariance) - 1) ** 2).sum()
    np.testing.assert_allclose(penalty, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["covariance_penalty"], expected, rtol=1e-4)


def test_the_floor_of_the_covariance_penalty():
    """What independent codes of variance 1 have by chance, as the docstring says."""
    size, dims = 64, 10
    z = np.random.default_rng(1).normal(size=(2000, size, dims))
    covariance = np.einsum("nbi,nbj->nij", z, z) / size
    penalty = jit(jax.vmap(moments.covariance_penalty, (0, None)))
    found = np.asarray(penalty(covariance, 1.0))
    expected = dims * (dims - 1) / size + 2 * dims / size
    assert abs(found.mean() - expected) < 5 * found.std() / math.sqrt(len(found))


def kernel(a, b):
    square, width = ((a - b) ** 2).sum(), 2 * len(a)
    return sum(width * s / (width * s + square) for s in mmd.SCALES)


def test_mmd_is_the_u_statistic_of_two_samples():
    a, b = RNG.normal(size=(2, 5, D))
    pairs = list(itertools.permutations(range(5), 2))
    expected = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs) / 20
    expected -= 2 / 25 * sum(kernel(v, w) for v in a for w in b)
    np.testing.assert_allclose(jit(mmd.mmd_squared)(a, b), expected, rtol=1e-4)


def test_mmd_of_one_distribution_is_0_in_the_mean_and_may_be_negative():
    a, b = np.random.default_rng(2).normal(size=(2, 2000, 20, D))
    many = jit(jax.vmap(mmd.mmd_squared))
    found = np.asarray(many(a, b))
    assert abs(found.mean()) < 5 * found.std() / math.sqrt(len(found))
    assert (found < 0).mean() > 0.3
    moved = np.asarray(many(a + 1.0, b))
    assert moved.mean() > 20 * moved.std() / math.sqrt(len(moved))


@pytest.mark.parametrize("deterministic", [False, True])
def test_mmd_compares_the_codes_with_draws_of_the_prior(deterministic):
    output = output_of(deterministic=deterministic)
    penalty, metrics = penalty_of(mmd.mmd, "mmd_weight", output)
    (latent,) = output.latents

    @jit
    def by_draws(codes):
        drawn = [jax.random.normal(key, (B, D)) for key in jax.random.split(KEY, K)]
        return [mmd.mmd_squared(z, p) for z, p in zip(codes, drawn, strict=True)]

    expected = np.mean(by_draws(latent.z))
    np.testing.assert_allclose(metrics["mmd"], expected, rtol=1e-4)
    np.testing.assert_allclose(penalty, expected, rtol=1e-3, atol=1e-5)
    assert ("rate" in metrics) != deterministic
    _, other = penalty_of(mmd.mmd, "mmd_weight", output, key=jax.random.key(5))
    assert other["mmd"] != metrics["mmd"]


def test_mmd_draws_from_the_prior_of_the_model():
    """Codes far out are near a mixture that lies there, and far from N(0, I)."""
    output = output_of(MEAN + 10.0)
    (latent,) = output.latents
    mixture = NormalMixture(
        log_weights=np.zeros((K, 1), np.float32),
        component_mean=np.full((K, 1, D), 10.0, np.float32),
        component_log_std=np.zeros((K, 1, D), np.float32),
        batch_size=B,
    )
    near = VAEOutput(output.likelihood, (latent.replace(prior=mixture),))
    hparams = make_hparams(kl_weight=0.0, mmd_weight=1.0)
    of = jit(lambda output: mmd.mmd.apply({}, output, X, hparams, KEY)[1]["mmd"])
    found = [of(output) for output in (near, output)]
    assert found[0] < 1 < found[1]


CASES = {
    "beta_tc": (beta_tc, "tc_weight"),
    "dip_i": (moments.dip_i(), "covariance_weight"),
    "dip_ii": (moments.dip_ii(), "covariance_weight"),
    "mmd": (mmd.mmd, "mmd_weight"),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_the_value(name):
    """By central differences along a random direction, at small and large weights."""
    objective, weight_name = CASES[name]
    direction = RNG.normal(size=(2, B, D))

    def loss(step, weight):
        output = made_output(MEAN + step * direction[0], LOG_STD + step * direction[1])
        hparams = make_hparams(kl_weight=0.5) | {weight_name: weight}
        return objective.apply({}, output, X, hparams, KEY)[0]

    both = jit(lambda step, weight: (loss(step, weight), jax.grad(loss)(step, weight)))
    for weight in (0.0, 1.0, 10.0):
        steps = 0.01 * np.float32([-2, -1, 1, 2])
        values = np.array([both(step, weight)[0] for step in steps], np.float64)
        expected = values @ [1, -8, 8, -1] / 0.12  # of the fourth order
        _, slope = both(np.float32(0.0), weight)
        np.testing.assert_allclose(expected, slope, rtol=5e-3, atol=1e-2)


FACTOR = factor.factor(hidden_dim=8, num_hidden=2, learning_rate=0.01)


@pytest.mark.parametrize("name", [*CASES, "factor"])
def test_three_weights_are_one_program_and_equal_single_trainings(name):
    objective, weight = CASES.get(name, (FACTOR, "tc_weight"))
    traces = []

    def counted(*arguments):
        traces.append(1)
        return objective.apply(*arguments)

    slowly = optax.sgd(1e-3)  # with 0.1, the weight of 30 makes the training diverge
    trainer = make(objective=objective._replace(apply=counted), tx=slowly)
    many, keys = ensemble(trainer), jax.random.split(KEY, 3)
    one_by_one = list(keys)
    hparams = make_hparams(kl_weight=[1.0] * 3, **{weight: [0.0, 1.0, 30.0]})
    first = states = jit(many.init)(keys, IMAGES)
    step = jit(many.step)
    for _ in range(2):
        states, metrics = step(states, IMAGES, keys, hparams)
    assert len(traces) == 1
    assert metrics["loss"].shape == (3,)
    alone = jit(trainer.step)
    of_all = jax.tree.map(np.asarray, (first, hparams))
    for m in range(3):
        state, own = jax.tree.map(lambda leaf, m=m: leaf[m], of_all)
        for _ in range(2):
            state, _ = alone(state, IMAGES, one_by_one[m], own)
        jax.tree.map(
            lambda many, one, m=m: np.testing.assert_allclose(many[m], one, atol=1e-5),
            jax.tree.map(np.asarray, states.params),
            state.params,
        )
    assert len(traces) == 2


def test_batches_that_are_too_small_are_refused():
    for objective, weight, least in (
        (FACTOR, "tc_weight", 4),
        (mmd.mmd, "mmd_weight", 2),
    ):
        trainer = make(objective=objective)
        few = IMAGES[: least - 1]
        state = jax.eval_shape(trainer.init, KEY, few)
        hparams = make_hparams(kl_weight=1.0, **{weight: 1.0})
        with pytest.raises(ContractError, match=f"needs {least} or more, and x has"):
            jax.eval_shape(trainer.step, state, few, KEY, hparams)
    assert Model().layer is None
