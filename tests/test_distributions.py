"""Distributions against scipy, numerical integration and their own samples."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from tests.battery import FAST_COMPILE
from vae_jax import distributions as dist
from vae_jax.distributions import one_hot, tabular
from vae_jax.types import Array

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)

N = 20_000  # draws per sampling test
LEVELS = np.arange(256, dtype=np.float32) / 255
# Both sides of every point where ContinuousBernoulli changes its formula.
LOGITS = [0.0, 1e-6, 9e-4, 1.1e-3, 0.05, 0.299, 0.301, 1.0, 5.0, 20.0, 100.0]
LOGITS = sorted({sign * logit for logit in LOGITS for sign in (-1.0, 1.0)})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def f32(values: object) -> Array:
    return jnp.asarray(np.float32(values), jnp.float32)


def repeated(values: object, rows: int = N) -> Array:
    """[...] -> [rows, ...]."""
    return f32(np.broadcast_to(values, (rows, *np.shape(values))))


log_prob = jit(lambda distribution, x: distribution.log_prob(x))
mean_of = jit(lambda distribution: distribution.mean)
kl_divergence = jit(dist.kl_divergence)


def assert_moments(draws: Array, mean: object, variance: object) -> None:
    """Mean and variance of draws [N, ...], within five standard errors."""
    draws = np.asarray(draws, np.float64)
    deviations = draws - np.asarray(mean)
    scale = 1 / np.sqrt(len(draws))
    error = np.abs(deviations.mean(axis=0))
    assert (error <= 5 * scale * draws.std(axis=0) + 1e-7).all()
    squares = deviations**2
    error = np.abs(squares.mean(axis=0) - np.asarray(variance))
    assert (error <= 5 * scale * squares.std(axis=0) + 1e-7).all()


def assert_finite_with_gradient(function: Callable[..., Array], *args: object) -> None:
    """Value and gradients with respect to all arguments."""

    @jit
    def value_and_gradients(*args: Array) -> tuple[Array, ...]:
        value, pull_back = jax.vjp(function, *args)
        return value, *pull_back(jnp.ones_like(value))

    for result in value_and_gradients(*map(f32, args)):
        assert np.isfinite(result).all()


# Log-densities against scipy.

SHAPE = (4, 3, 2)
LOC, LOG_SCALE = rng().normal(size=(2, *SHAPE))
X = rng().normal(size=SHAPE) * 3
BITS = (X > 0).astype(float)


@pytest.mark.parametrize(
    ("distribution", "x", "expected"),
    [
        (
            dist.DiagonalNormal(f32(LOC), f32(LOG_SCALE)),
            X,
            scipy.stats.norm.logpdf(X, LOC, np.exp(LOG_SCALE)),
        ),
        (
            dist.Laplace(f32(LOC), f32(LOG_SCALE)),
            X,
            scipy.stats.laplace.logpdf(X, LOC, np.exp(LOG_SCALE)),
        ),
        (
            dist.Bernoulli(f32(LOC)),
            BITS,
            scipy.stats.bernoulli.logpmf(BITS, scipy.special.expit(LOC)),
        ),
    ],
    ids=["normal", "laplace", "bernoulli"],
)
def test_log_prob_is_scipys_summed_over_the_event(
    distribution: dist.Distribution, x: np.ndarray, expected: np.ndarray
) -> None:
    expected = expected.reshape(SHAPE[0], -1).sum(axis=1)
    np.testing.assert_allclose(log_prob(distribution, f32(x)), expected, rtol=2e-6)


def test_optimal_normal_is_the_best_fixed_scale() -> None:
    mean, x = f32(LOC), f32(X)
    best = np.sqrt(((X - LOC) ** 2).reshape(4, -1).mean(axis=1))
    expected = scipy.stats.norm.logpdf(X, LOC, best[:, None, None])
    expected = expected.reshape(4, -1).sum(axis=1)
    value = log_prob(dist.OptimalNormal(mean), x)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    for factor in (0.9, 1.1):
        log_std = np.broadcast_to(np.log(factor * best)[:, None, None], SHAPE)
        other = log_prob(dist.DiagonalNormal(mean, f32(log_std)), x)
        assert np.all(np.asarray(other) < value)
    with pytest.raises(TypeError, match="scale='learned'"):
        dist.OptimalNormal(mean).sample(jax.random.key(0))


def test_optimal_normal_of_a_perfect_fit_is_finite() -> None:
    x = f32(X)
    assert_finite_with_gradient(lambda m: dist.OptimalNormal(m).log_prob(x), X)


def test_deterministic_has_no_density() -> None:
    point = dist.Deterministic(f32(LOC[..., 0]))
    assert (point.sample(jax.random.key(0)) == point.mean).all()
    assert not point.variance.any()
    with pytest.raises(TypeError, match="no density"):
        point.log_prob(point.mean)


# The continuous Bernoulli against numerical integration, in float64.


def integrate(logit: float, power: int) -> float:
    """Integral over [0, 1] of x^power p^x (1 - p)^(1 - x), p = sigmoid(logit)."""
    log_p, log_1_p = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    return scipy.integrate.quad(
        lambda x: x**power * np.exp(x * log_p + (1 - x) * log_1_p), 0, 1, epsabs=1e-13
    )[0]


TOTAL, FIRST, SECOND = np.array([[integrate(x, p) for x in LOGITS] for p in range(3)])


def test_continuous_bernoulli_normaliser_and_mean() -> None:
    distribution = dist.ContinuousBernoulli(f32(LOGITS))
    normalizer, mean = jit(lambda d: (d.log_normalizer, d.mean))(distribution)
    np.testing.assert_allclose(normalizer, -np.log(TOTAL), rtol=3e-6)
    np.testing.assert_allclose(mean, FIRST / TOTAL, rtol=3e-6)


def test_continuous_bernoulli_gradients_are_smooth_where_the_formula_changes() -> None:
    """d log C / dl = sigmoid(l) - mean, and d mean / dl is the variance."""

    def normalizer(logit: Array) -> Array:
        return dist.ContinuousBernoulli(logit).log_normalizer.sum()

    def mean(logit: Array) -> Array:
        return dist.ContinuousBernoulli(logit).mean.sum()

    expected = scipy.special.expit(LOGITS) - FIRST / TOTAL
    found = jit(jax.grad(normalizer))(f32(LOGITS))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    expected = SECOND / TOTAL - (FIRST / TOTAL) ** 2
    np.testing.assert_allclose(jit(jax.grad(mean))(f32(LOGITS)), expected, atol=1e-5)


def test_continuous_bernoulli_log_prob_is_the_density() -> None:
    x = rng().uniform(size=len(LOGITS))
    log_p, log_1_p = -np.logaddexp(0, -f64(LOGITS)), -np.logaddexp(0, f64(LOGITS))
    expected = x * log_p + (1 - x) * log_1_p - np.log(TOTAL)
    logits = f32(np.array(LOGITS)[:, None])
    value = log_prob(dist.ContinuousBernoulli(logits), f32(x[:, None]))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=2e-6)


def f64(values: object) -> np.ndarray:
    return np.asarray(values, np.float64)


# Samples against means and variances.


def test_samples_have_the_moments_of_the_distribution() -> None:
    key = jax.random.key(0)
    loc, log_scale = [-1.0, 0.0, 2.0], [-2.0, 0.0, 1.0]
    scale = np.exp(log_scale)
    normal = dist.DiagonalNormal(repeated(loc), repeated(log_scale))
    laplace = dist.Laplace(repeated(loc), repeated(log_scale))

    @jit
    def draws() -> tuple[Array, Array, Array]:
        return normal.sample(key), normal.sample(key, 0.5), laplace.sample(key)

    as_they_are, colder, of_laplace = draws()
    assert_moments(as_they_are, loc, scale**2)
    assert_moments(colder, loc, scale**2 / 4)
    assert_moments(of_laplace, loc, 2 * scale**2)
    std, variance = map(np.asarray, jit(lambda: (normal.std, normal.variance))())
    np.testing.assert_allclose(std**2, variance, rtol=1e-6)
    np.testing.assert_allclose(variance[0], scale**2, rtol=1e-6)


def test_bernoulli_samples() -> None:
    logits = [-100.0, -2.0, 0.0, 1.0, 100.0]
    bernoulli = dist.Bernoulli(repeated(logits))
    draws, mean = jit(bernoulli.sample)(jax.random.key(0)), scipy.special.expit(logits)
    assert draws.dtype == jnp.float32
    assert set(np.unique(draws)) == {0.0, 1.0}
    found = np.asarray(mean_of(bernoulli))[0]
    np.testing.assert_allclose(found, mean, rtol=1e-6, atol=1e-30)
    assert_moments(draws, mean, mean * (1 - mean))


def test_continuous_bernoulli_samples() -> None:
    distribution = dist.ContinuousBernoulli(repeated(LOGITS))
    draws = np.asarray(jit(distribution.sample)(jax.random.key(0)))
    assert ((draws >= 0) & (draws <= 1)).all()
    mean = FIRST / TOTAL
    # 1e-4: below a logit of 1e-3 the draws are uniform, off by less than that.
    tiny = np.abs(LOGITS) < 1e-3
    mean = np.where(tiny, 0.5, mean)
    assert np.abs(mean - FIRST / TOTAL).max() < 1e-4
    assert_moments(draws, mean, SECOND / TOTAL - (FIRST / TOTAL) ** 2)


# Discretised logistics: probabilities of 256 levels.

# In and out of the range of pixels, on an edge, from a spike to a flat distribution.
LOCATIONS = [-3.0, 0.0, 0.3, 0.5, 1.0, 1.002, 4.0]
LOG_SCALES = [-7.69, -5.0, -2.0, 0.0, 3.0, 10.0]
GRID = np.stack(np.meshgrid(LOCATIONS, LOG_SCALES), axis=-1).reshape(-1, 2)


def assert_levels(pixels: Array) -> None:
    levels = np.round(f64(pixels) * 255)
    assert ((levels >= 0) & (levels <= 255)).all()
    np.testing.assert_allclose(pixels, levels / 255, rtol=1e-6)


def logistic_reference(x: np.ndarray, loc: float, log_scale: float) -> np.ndarray:
    """Log masses from scipy's log-distribution functions, in float64."""
    lower = (x - 0.5 / 255 - loc) / np.exp(log_scale)
    upper = (x + 0.5 / 255 - loc) / np.exp(log_scale)
    lower[0], upper[-1] = -np.inf, np.inf
    # On the side of the mean where log(cdf) keeps its digits.
    flip = lower + upper > 0
    lower, upper = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    logcdf = scipy.stats.logistic.logcdf
    with np.errstate(divide="ignore"):
        return logcdf(upper) + np.log(-np.expm1(logcdf(lower) - logcdf(upper)))


def test_discretized_logistic_masses() -> None:
    x = np.broadcast_to(LEVELS, (len(GRID), 256))
    loc, log_scale = (np.broadcast_to(c[:, None], x.shape) for c in GRID.T)
    masses = jit(dist.discretized_logistic_log_prob)
    value = masses(f32(x), f32(loc), f32(log_scale))
    exact = np.arange(256) / 255
    expected = np.stack([logistic_reference(exact, *pair) for pair in GRID])
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)
    total = scipy.special.logsumexp(f64(value), axis=1)
    np.testing.assert_allclose(total, 0.0, atol=2e-5)


def test_discretized_logistic_samples_follow_the_masses() -> None:
    loc, log_scale = np.array([[0.3, -3.0], [0.99, -1.0], [0.5, -6.5], [-0.2, 1.0]]).T
    logistic = dist.DiscretizedLogistic(repeated(loc), repeated(log_scale))
    draws = jit(logistic.sample)(jax.random.key(0))
    assert_levels(draws)
    parameters = zip(loc, log_scale, strict=True)
    # In float64: bins around rounded levels leave gaps, which a spike would notice.
    levels = np.arange(256) / 255
    masses = np.exp([logistic_reference(levels, *pair) for pair in parameters])
    mean = masses @ levels
    assert_moments(draws, mean, masses @ levels**2 - mean**2)
    # `mean` is that of the uncut logistic: equal where nothing is cut.
    found = np.asarray(mean_of(logistic))[0]
    np.testing.assert_allclose(found[[0, 2]], mean[[0, 2]], atol=2e-4)
    np.testing.assert_allclose(found, np.clip(loc, 0, 1), atol=1e-7)


def mixture(channels: int, rows: int) -> dist.DiscretizedLogisticMixture:
    """Two components of one pixel; the first channels don't depend on their number."""
    loc = np.array([[0.2, 0.8], [0.5, 0.1], [0.9, 0.4]])[:channels]
    log_scale = np.array([[-3.0, -2.0], [-4.0, -1.0], [-2.5, -3.5]])[:channels]
    coefficients = rng().normal(size=(3, 3, 2))[:channels, :channels]

    def pixel(values: np.ndarray) -> Array:
        return repeated(values[None, None], rows)

    return dist.DiscretizedLogisticMixture(
        pixel(np.array([0.3, -0.4])), pixel(loc), pixel(log_scale), pixel(coefficients)
    )


mixture_log_prob = jit(dist.DiscretizedLogisticMixture.log_prob)
mixture_sample = jit(dist.DiscretizedLogisticMixture.sample)


def all_levels(*earlier: float) -> Array:
    """Pixels [256, 1, 1, C]: the given first channels, and every level of the last."""
    columns = [np.full(256, value) for value in earlier] + [LEVELS]
    return f32(np.stack(columns, axis=-1)[:, None, None, :])


@pytest.mark.parametrize("earlier", [(), (0.2,), (1.0,), (0.2, 0.4), (0.0, 1.0)])
def test_mixture_sums_to_the_mixture_of_the_channels_before(
    earlier: tuple[float, ...],
) -> None:
    """Over the last channel; of one channel to one. So all 256^3 sum to one."""
    earlier = tuple(np.float32(round(value * 255)) / 255 for value in earlier)
    log_prob = mixture_log_prob(mixture(len(earlier) + 1, 256), all_levels(*earlier))
    expected = 0.0
    if earlier:
        before = mixture(len(earlier), 256)
        pixel = repeated([[earlier]], 256)
        expected = np.asarray(mixture_log_prob(before, pixel))[0]
    total = scipy.special.logsumexp(f64(log_prob))
    np.testing.assert_allclose(total, expected, atol=2e-5)


def test_mixture_samples_follow_the_masses() -> None:
    """All 256^2 masses of two channels sum to one and have the moments of draws."""
    levels = np.stack(np.meshgrid(LEVELS, LEVELS), axis=-1).reshape(-1, 1, 1, 2)
    masses = np.exp(f64(mixture_log_prob(mixture(2, len(levels)), f32(levels))))
    np.testing.assert_allclose(masses.sum(), 1.0, atol=2e-5)
    draws = np.asarray(mixture_sample(mixture(2, N), jax.random.key(0)))[:, 0, 0]
    assert_levels(draws)

    def with_product(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([pixels, pixels[:, :1] * pixels[:, 1:]], axis=1)

    values = with_product(f64(levels.reshape(-1, 2)))
    mean = masses @ values
    variance = masses @ values**2 - mean**2
    assert_moments(with_product(f64(draws)), mean, variance)


def test_mixture_mean_follows_the_earlier_channels() -> None:
    """Narrow components well inside [0, 1], where nothing is cut."""
    inside = mixture(2, N).replace(
        loc=repeated([[[[0.3, 0.5], [0.2, 0.4]]]]),
        log_scale=f32(np.full((N, 1, 1, 2, 2), -6.0)),
        coefficients=f32(np.full((N, 1, 1, 2, 2, 2), 0.5)),
    )
    draws = f64(mixture_sample(inside, jax.random.key(0)))
    error = draws.std(axis=0) / np.sqrt(N)
    mean = np.asarray(mean_of(inside))[0]
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * error).all()


def test_a_component_beyond_white_counts_as_white_in_the_mean() -> None:
    beyond = mixture(2, N).replace(
        mixture_logits=f32(np.zeros((N, 1, 1, 2))),
        loc=repeated([[[[0.2, 3.0], [-2.0, 0.4]]]]),
        log_scale=f32(np.full((N, 1, 1, 2, 2), -6.0)),
        coefficients=f32(np.full((N, 1, 1, 2, 2, 2), 0.5)),
    )
    mean = np.asarray(mean_of(beyond))[0]
    np.testing.assert_allclose(mean[0, 0], [0.6, 0.45], atol=1e-6)
    draws = f64(mixture_sample(beyond, jax.random.key(0)))
    error = draws.std(axis=0) / np.sqrt(N)
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * error + 1e-3).all()


# Finite values and gradients at the ends.


def every_combination(*values: list[float]) -> list[Array]:
    """All combinations, one array [B, 1, 1, 1] per argument."""
    grid = np.stack(np.meshgrid(*values), axis=-1).reshape(-1, len(values))
    return [f32(column[:, None, None, None]) for column in grid.T]


def test_extreme_logits() -> None:
    x, logits = every_combination([0, 0.5, 1], [-1000, -100, 0, 100, 1000])
    for kind in (dist.Bernoulli, dist.ContinuousBernoulli):
        assert_finite_with_gradient(lambda v, k=kind: k(v).log_prob(x), logits)
        assert_finite_with_gradient(lambda v, k=kind: k(v).mean, logits)
    flat_x, flat_logits = f64(x).ravel(), f64(logits).ravel()
    expected = flat_x * flat_logits - np.logaddexp(0, flat_logits)
    value = log_prob(dist.Bernoulli(logits), x)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-30)


def test_the_cross_entropy_is_exact_to_the_last_digits() -> None:
    logits = np.float32(np.linspace(-80, 80, 20_001))
    exact = np.logaddexp(0, -np.abs(np.float64(logits)))  # what is left of the right x
    x = (logits > 0).astype(np.float32)
    for dtype, rtol in ((jnp.float32, 4e-7), (jnp.float64, 1e-14)):
        with jax.enable_x64(dtype == jnp.float64):
            value = jax.jit(dist.pixels.binary_cross_entropy)(logits.astype(dtype), x)
            # The logit itself has been taken from itself.
            np.testing.assert_allclose(value, exact, rtol=rtol)


def test_extreme_scales() -> None:
    x, loc, log_scale = every_combination(
        [0, np.float32(100) / 255, 1], [-1000, 0, 1000], [-10, 10]
    )
    for kind in (dist.DiagonalNormal, dist.Laplace, dist.DiscretizedLogistic):
        assert_finite_with_gradient(
            lambda m, s, k=kind: k(m, s).log_prob(x), loc, log_scale
        )

    def mixed(loc: Array, log_scale: Array) -> Array:
        loc, log_scale = (jnp.stack([v, v], axis=-1) for v in (loc, log_scale))
        logits = jnp.concatenate([x - 100, x + 100], axis=-1)  # weights 1 and e^-200
        coefficients = jnp.zeros((*loc.shape[:-1], 1, 2))
        return dist.DiscretizedLogisticMixture(
            logits, loc, log_scale, coefficients
        ).log_prob(x)

    assert_finite_with_gradient(mixed, loc, log_scale)


def test_log_std_is_bounded_and_the_identity_near_zero() -> None:
    raw = np.float32([-1e6, -30.0, -0.01, 0.0, 0.01, 30.0, 1e6])
    bounded = np.asarray(jit(dist.bound_log_std)(raw))
    assert (np.abs(bounded) <= dist.LOG_STD_BOUND).all()
    np.testing.assert_allclose(bounded[2:5], raw[2:5], rtol=1e-5)
    assert_finite_with_gradient(dist.bound_log_std, raw)


# The KL divergence.


def normals(seed: int, rows: int) -> tuple[dist.DiagonalNormal, dist.DiagonalNormal]:
    fields = np.random.default_rng(seed).normal(size=(4, 3))
    fields[1::2] /= 2
    mean_q, log_std_q, mean_p, log_std_p = (repeated(field, rows) for field in fields)
    return dist.DiagonalNormal(mean_q, log_std_q), dist.DiagonalNormal(
        mean_p, log_std_p
    )


@jit
def log_ratios(q: dist.DiagonalNormal, p: dist.DiagonalNormal, key: Array) -> Array:
    z = q.sample(key)
    return q.log_prob(z) - p.log_prob(z)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kl_is_the_mean_log_ratio(seed: int) -> None:
    q, p = normals(seed, N)
    ratios = f64(log_ratios(q, p, jax.random.key(seed)))
    kl = np.asarray(kl_divergence(q, p))[0].sum()
    assert abs(ratios.mean() - kl) < 5 * ratios.std() / np.sqrt(N)


def test_kl_of_a_distribution_with_itself_is_exactly_zero() -> None:
    for seed in range(5):
        q, _ = normals(seed, 1)
        np.testing.assert_array_equal(kl_divergence(q, q), 0)


def test_kl_is_exact_and_never_negative_near_the_prior() -> None:
    log_std = np.concatenate([np.linspace(-0.01, 0.01, 2001), np.logspace(-9, 0, 999)])
    log_std = f64(f32(np.concatenate([log_std, -log_std]))[:, None])
    zeros = f32(np.zeros(log_std.shape))
    q, p = dist.DiagonalNormal(zeros, f32(log_std)), dist.DiagonalNormal(zeros, zeros)
    kl = np.asarray(kl_divergence(q, p))
    assert (kl >= 0).all()
    # Series where float64 cancels too: y^2/2 + y^3/6 + ..., y = 2 log_std.
    y = 2 * log_std
    series = 0.5 * (y**2 / 2 + y**3 / 6 + y**4 / 24)
    exact = np.where(np.abs(y) < 1e-3, series, 0.5 * (np.expm1(y) - y))
    np.testing.assert_allclose(kl, exact, rtol=1e-5, atol=1e-7)


def test_kl_without_a_closed_form_says_so() -> None:
    _, p = normals(0, 2)
    with pytest.raises(TypeError, match=r"KL\(Laplace, DiagonalNormal\)"):
        dist.kl_divergence(dist.Laplace(p.mean, p.log_std), p)
    point = dist.Deterministic(p.mean)
    assert not dist.kl_divergence(point, p).any()


def test_all_keep_the_contract() -> None:
    image = f32(np.zeros((2, 1, 1, 1)))
    kinds = [
        dist.DiagonalNormal(image, image),
        dist.Deterministic(image),
        dist.Bernoulli(image),
        dist.ContinuousBernoulli(image),
        dist.OptimalNormal(image),
        dist.Laplace(image, image),
        dist.DiscretizedLogistic(image, image),
        mixture(1, 2),
    ]
    for distribution in kinds:
        assert isinstance(distribution, dist.Distribution)
        assert distribution.support in {"real", "unit", "binary", "8bit"}
        mean = jax.eval_shape(lambda d=distribution: d.mean)
        assert mean.shape == image.shape


@pytest.mark.parametrize(
    "kind",
    [
        dist.DiagonalNormal,
        dist.Laplace,
        dist.DiscretizedLogistic,
        lambda mean, _: dist.ContinuousBernoulli(mean),
    ],
)
def test_draws_with_fields_of_16_bits_are_made_in_32(kind: Callable) -> None:  # type: ignore[type-arg]
    """Noise of 16 bits has a mean that is not 0, and no tails."""
    fields = jnp.bfloat16(rng().normal(size=(2, 3, 50)))
    half, whole = kind(*fields), kind(*fields.astype(jnp.float32))
    found, exact = (d.sample(jax.random.key(0)) for d in (half, whole))
    if isinstance(half, dist.DiscretizedLogistic):  # bfloat16 has not all 256 levels
        assert found.dtype == jnp.float32
    else:
        assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, exact.astype(found.dtype))
    np.testing.assert_array_equal(half.mean, whole.mean.astype(half.mean.dtype))


def test_codes_of_16_bits_have_densities_of_32() -> None:
    def half(*shape: int) -> Array:
        return jnp.bfloat16(rng().normal(size=shape))

    mixture = dist.NormalMixture(half(5), half(5, 20), half(5, 20), 3)
    base = dist.DiagonalNormal(half(3, 4), half(3, 4))
    layers = half(3, 2, 6), half(2, 4, 6), half(2, 6, 8), half(2, 8)
    flow = dist.CouplingFlow(base, *layers)
    classes = one_hot.OneHot(half(3, 7))
    eye = jnp.bfloat16(jnp.eye(3, 7))
    cases = [(mixture, half(3, 20)), (flow, half(3, 4)), (classes, eye)]
    for distribution, x in cases:
        found = distribution.log_prob(x)
        whole = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (distribution, x))
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, whole[0].log_prob(whole[1]))


def test_truth_values_and_counts_need_no_promotion() -> None:
    fields = f32(rng().normal(size=(2, 3, 4)))
    for distribution, x in [
        (dist.Bernoulli(fields[0]), fields[1] > 0),
        (tabular.NegativeBinomial(*fields), (fields[1] ** 2).astype(jnp.int32)),
    ]:
        expected = distribution.log_prob(x.astype(jnp.float32))
        with jax.numpy_dtype_promotion("strict"):
            found = distribution.log_prob(x)
        np.testing.assert_array_equal(found, expected)


def test_numbers_of_16_bits_are_summed_in_32() -> None:
    """Else a sum over an image would keep its first two digits only."""
    normals = rng().normal(size=(4, 3, 784)) * np.reshape([1, 0.1, 1, 0.1], (4, 1, 1))
    mean, log_std, mean_p, log_std_p = jnp.bfloat16(normals)
    x = jnp.bfloat16(rng().integers(0, 2, size=(3, 784)))

    def whole(values: object) -> object:
        return jax.tree.map(lambda value: f32(np.float32(value)), values)

    cases = [
        (dist.Bernoulli(mean), x),
        (dist.ContinuousBernoulli(mean), x),
        (dist.DiagonalNormal(mean, log_std), mean_p),
        (dist.Laplace(mean, log_std), mean_p),
    ]
    # Without jit, which may leave out the roundings between operations.
    for distribution, value in cases:
        found = distribution.log_prob(value)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(
            found, log_prob(*whole((distribution, value))), rtol=1e-6
        )
    pair = dist.DiagonalNormal(mean, log_std), dist.DiagonalNormal(mean_p, log_std_p)
    found, wanted = dist.kl_divergence(*pair), kl_divergence(*whole(pair))
    np.testing.assert_allclose(f64(found).sum(1), f64(wanted).sum(1), rtol=1e-6)
