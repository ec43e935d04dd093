"""The densities of the library once more, in other forms and in float64.

Of one number each, and without its helpers. Arguments are arrays [N], or numbers.
"""

import numpy as np
from scipy.special import gammaln

LEVEL = 1 / 255  # between two 8-bit pixels


def normal(mean, log_std, x):
    return (
        -0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    )


def laplace(mean, log_scale, x):
    return -np.abs(x - mean) / np.exp(log_scale) - log_scale - np.log(2)


def bernoulli(logit, x):
    return x * logit - np.logaddexp(0, logit)


def continuous_bernoulli(logit, x):
    safe = np.where(logit == 0, 1, logit)
    normalizer = np.where(logit == 0, 2, safe / np.tanh(safe / 2))
    return bernoulli(logit, x) + np.log(normalizer)


def logistic(loc, log_scale, x):
    """With sigmoid(a + w) - sigmoid(a - w) = sinh(w) / (cosh(a) + cosh(w))."""
    a, w = (x - loc) / np.exp(log_scale), 0.5 * LEVEL / np.exp(log_scale)
    log_sinh = w + np.log1p(-np.exp(-2 * w)) - np.log(2)
    sum_cosh = np.logaddexp(np.logaddexp(a, -a), np.logaddexp(w, -w)) - np.log(2)
    first, last = -np.logaddexp(0, -a - w), -np.logaddexp(0, a - w)
    inside = log_sinh - sum_cosh
    return np.where(x == 0, first, np.where(x == 1, last, inside))


def logistic_mixture(logit, loc_0, loc_1, log_scale_0, log_scale_1, x):
    weights = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    one = weights[0] + logistic(loc_0, log_scale_0, x)
    return np.logaddexp(one, weights[1] + logistic(loc_1, log_scale_1, x))


def categorical(logit, chosen):
    return np.where(chosen == 0, logit, 0) - np.log(np.exp(logit) + 2)


def negative_binomial(log_mean, log_r, k):
    r, odds = np.exp(log_r), log_mean - log_r
    ratio = gammaln(k + r) - gammaln(r) - gammaln(k + 1)
    return ratio - r * np.logaddexp(0, odds) - k * np.logaddexp(0, -odds)


def normal_mixture(logit, mean_0, mean_1, log_std_0, log_std_1, x):
    weights = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    one = weights[0] + normal(mean_0, log_std_0, x)
    return np.logaddexp(one, weights[1] + normal(mean_1, log_std_1, x))


def optimal_normal(mean, other, x):
    """Of two numbers; the second is 0, and its mean the other argument."""
    variance = np.maximum(((x - mean) ** 2 + other**2) / 2, (0.5 * LEVEL) ** 2)
    error = ((x - mean) ** 2 + other**2) / variance
    return -np.log(2 * np.pi * variance) - 0.5 * error


FLOW = np.random.default_rng(0).normal(size=(3, 2, 2, 4)) / 2  # weights of two layers


def flow(mean, log_std, x):
    """Of (x, 0.3), two layers written out; the base is the same in both dimensions."""
    z, log_det = [x, 0.3 + 0 * x], 0
    for t in (1, 0):
        kept, moved = t % 2, 1 - t % 2
        hidden = [np.tanh(z[kept] * w) for w in FLOW[0, t, kept]]
        out = [
            sum(h * w for h, w in zip(hidden, column, strict=True))
            for column in (FLOW[1, t, moved], FLOW[2, t, moved])
        ]
        z[moved] = (z[moved] - out[1]) * np.exp(-np.tanh(out[0]))
        log_det = log_det + np.tanh(out[0])
    return normal(mean, log_std, z[0]) + normal(mean, log_std, z[1]) - log_det


def kl(mean_q, log_std_q, mean_p, log_std_p):
    difference = (mean_q - mean_p) / np.exp(log_std_p)
    ratio = log_std_q - log_std_p
    return 0.5 * (difference**2 + np.exp(2 * ratio) - 1) - ratio


def masked(value, x):
    """Two normals around `value`; only the first number, x, is observed."""
    return normal(value, 0, x)
