"""Importance sampling against the exact log-likelihood of a linear-Gaussian VAE."""

import functools

import jax
import numpy as np
import pytest

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from vae_jax.distributions import Deterministic, OptimalNormal, kl_divergence
from vae_jax.errors import ConfigError
from vae_jax.evaluation.likelihood import evaluate_examples, importance_statistics
from vae_jax.outputs import Latent, VAEOutput

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(7)


def autoencoder_apply(params, x, key):
    point = Deterministic(lg.encode(params, x).mean)
    latent = Latent(z=point.mean, posterior=point, prior=lg.prior(len(x)))
    return VAEOutput(likelihood=lg.decode(params, point.mean), latents=(latent,))


def profile_apply(params, x, key):
    output = lg.apply(params, x, key)
    return output.replace(likelihood=OptimalNormal(mean=output.likelihood.mean))


@pytest.mark.parametrize("num_samples", [1, 7, 9])
def test_exact_posterior_gives_log_px_from_every_sample(num_samples):
    params = lg.make_params()
    x = lg.draw_x(params, 5)
    stats = importance_statistics(lg.apply, params, x, KEY, num_samples, sample_chunk=3)
    expected = lg.exact(params).logpdf(np.asarray(x))
    np.testing.assert_allclose(stats["log_px"], expected, rtol=1e-5)
    np.testing.assert_allclose(stats["ess"], num_samples, rtol=1e-5)


def test_moved_posterior_loses_exactly_the_kl():
    params = lg.make_params(shift=0.3, log_scale=0.2)
    exact_params = lg.make_params()
    x = lg.draw_x(params, 5)
    stats = importance_statistics(lg.apply, params, x, KEY, 20_000, sample_chunk=500)
    log_px = lg.exact(params).logpdf(np.asarray(x))

    @jit
    def moved_and_kl(params, exact_params, x):
        moved, exact = lg.encode(params, x), lg.encode(exact_params, x)
        to_prior = kl_divergence(moved, lg.prior(len(x)))
        return moved.mean, moved.variance, to_prior, kl_divergence(moved, exact)

    mean, variance, to_prior, kl = moved_and_kl(params, exact_params, x)
    gap = np.asarray(kl).sum(axis=1)
    elbo = -(stats["rate"] + stats["distortion"])
    np.testing.assert_allclose(log_px - elbo, gap, atol=0.05)
    np.testing.assert_allclose(stats["log_px"], log_px, atol=0.02)
    np.testing.assert_allclose(stats["kl"][0], to_prior, rtol=1e-4)
    np.testing.assert_allclose(stats["mean"][0], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats["variance"][0], variance, rtol=1e-4)


def test_bound_rises_with_k_towards_log_px():
    params = lg.make_params(shift=0.4)
    x = lg.draw_x(params, 400)
    bounds = [
        importance_statistics(lg.apply, params, x, KEY, k)["log_px"].mean()
        for k in (1, 8, 512)
    ]
    assert all(
        lower < higher for lower, higher in zip(bounds, bounds[1:], strict=False)
    )
    exact = lg.exact(params).logpdf(np.asarray(x)).mean()
    assert abs(bounds[-1] - exact) < 0.02


def test_chunks_are_masked_exactly():
    """K = 5 in chunks of 3: the same five draws, put together by hand."""
    params = lg.make_params(shift=0.5)
    x = lg.draw_x(params, 4)

    @jit
    def log_weights_and_likelihoods(params, x):
        chunks = [jax.random.split(jax.random.fold_in(KEY, c), 3) for c in (0, 1)]
        outputs = [lg.apply(params, x, key) for keys in chunks for key in keys][:5]
        return [out.log_w(x) for out in outputs], [out.log_lik(x) for out in outputs]

    log_w, log_lik = map(np.float64, log_weights_and_likelihoods(params, x))
    weights = np.exp(log_w)
    expected = {
        "log_px": np.log(weights.mean(axis=0)),
        "ess": weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0),
        "distortion": -np.mean(log_lik, axis=0),
    }
    stats = importance_statistics(lg.apply, params, x, KEY, 5, sample_chunk=3)
    for name, value in expected.items():
        np.testing.assert_allclose(stats[name], value, rtol=2e-5, err_msg=name)


def test_huge_log_weights_neither_overflow_nor_vanish():
    params = lg.make_params(shift=30.0)  # log w around -10,000
    x = lg.draw_x(params, 3)
    stats = importance_statistics(lg.apply, params, x, KEY, 50, sample_chunk=20)
    assert np.all(np.isfinite(stats["log_px"]))
    assert np.all(stats["log_px"] < -1000)
    assert np.all((stats["ess"] >= 0.999) & (stats["ess"] <= 50.0))


def test_models_without_a_density_leave_out_what_they_lack():
    params = lg.make_params()
    x = lg.draw_x(params, 4)
    stats = importance_statistics(autoencoder_apply, params, x, KEY, 3)
    assert set(stats) == {"distortion", "mean", "variance"}
    stats = importance_statistics(profile_apply, params, x, KEY, 3)
    assert set(stats) == {"distortion", "mean", "variance", "rate", "kl"}


def test_memory_depends_on_the_chunk_and_not_on_k():
    params = lg.make_params()
    x = lg.draw_x(params, 10)

    def temporary_bytes(num_samples, sample_chunk):
        function = functools.partial(
            importance_statistics,
            lg.apply,
            num_samples=num_samples,
            sample_chunk=sample_chunk,
        )
        compiled = jax.jit(function).lower(params, x, KEY).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(100_000, 50) <= 1.5 * temporary_bytes(100, 50)
    assert temporary_bytes(100_000, 5000) > 10 * temporary_bytes(100_000, 50)


@pytest.mark.parametrize("name", ["num_samples", "sample_chunk"])
def test_counts_below_one_are_refused(name):
    params = lg.make_params()
    counts = {"num_samples": 2, "sample_chunk": 2} | {name: 0}
    with pytest.raises(ConfigError, match=f"{name}=0"):
        importance_statistics(lg.apply, params, lg.draw_x(params, 2), KEY, **counts)


def test_split_is_evaluated_in_order_with_one_compilation():
    params = lg.make_params(shift=0.2)
    images = np.asarray(lg.draw_x(params, 7))
    traces, progress = [], []

    def counted_apply(params, x, key):
        traces.append(x.shape)
        return lg.apply(params, x, key)

    def rows_to_x(images, rows):
        return images + 0.01 * rows[:, None]

    def evaluate():
        return evaluate_examples(
            counted_apply,
            params,
            lambda rows: rows_to_x(images[rows], rows),
            len(images),
            KEY,
            num_samples=5,
            batch_size=3,
            sample_chunk=2,
            progress=lambda done, total: progress.append((done, total)),
        )

    stats = evaluate()
    assert progress == [(3, 7), (6, 7), (7, 7)]
    num_traces = len(traces)
    again = evaluate()
    assert len(traces) == num_traces
    assert stats["log_px"].shape == (7,)
    assert stats["layers"][0].mean.shape == (lg.LATENT_DIM,)
    jax.tree.map(np.testing.assert_array_equal, stats, again)
    x = np.float32(rows_to_x(images, np.arange(7)))
    expected = importance_statistics(
        lg.apply, params, x[3:6], jax.random.fold_in(KEY, 1), 5, sample_chunk=2
    )
    np.testing.assert_allclose(stats["log_px"][3:6], expected["log_px"], rtol=1e-5)
    (moments,) = stats["layers"]
    means = np.float64(jit(lambda x: lg.encode(params, x).mean)(x))
    assert moments.count == 7  # the last image counts once, though it fills a batch
    np.testing.assert_allclose(moments.mean, means.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        moments.variance_of_means, means.var(axis=0), rtol=1e-5, atol=1e-6
    )


def test_more_images_per_batch_than_there_are():
    params = lg.make_params()
    images = lg.draw_x(params, 3)
    stats = evaluate_examples(
        lg.apply, params, lambda rows: images[rows], 3, KEY, num_samples=2
    )
    expected = lg.exact(params).logpdf(np.asarray(images))
    np.testing.assert_allclose(stats["log_px"], expected, rtol=1e-5)
