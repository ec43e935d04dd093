"""Derivatives of every log-density and KL at its special points.

Those are the points where a formula changes sides: a logit of 0, x at the mean, scales
at their bounds, the edges of a support. The reference is another form of the same
density in float64, differentiated by central differences. Where a density has a kink,
they give the mean of its two slopes, which is 0 at the top of a Laplace density.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import densities
from tests.battery import FAST_COMPILE
from vae_jax import distributions as dist
from vae_jax.distributions import flows, mixtures, tabular

BOUND = dist.LOG_STD_BOUND
LEVEL = densities.LEVEL


class Case(NamedTuple):
    """A density, another form of it, and the points where both are differentiated.

    log_prob and reference take arrays [N], one for each column of the points, and give
    nats [N]. Both are differentiated by the columns in `smooth_in`.
    """

    log_prob: Callable
    reference: Callable
    points: Sequence[Sequence[float]]
    smooth_in: Sequence[int]  # columns with a derivative
    step: Callable = lambda *columns: 1e-4  # of the differences, in each point


def columns(*values):
    """Fields of a distribution over one number, [N] -> [N, 1]."""
    return [value[:, None] for value in values]


def of_one_number(make):
    """The log-density of a distribution whose last argument is x."""
    return lambda *v: make(*columns(*v[:-1])).log_prob(v[-1][:, None])


def make_logistic_mixture(logit, loc_0, loc_1, log_scale_0, log_scale_1, x):
    def field(*components):  # [N, H, W, ..., components]
        return jnp.stack(components, axis=-1)[:, None, None]

    p = dist.DiscretizedLogisticMixture(
        mixture_logits=field(logit, jnp.zeros_like(logit)),
        loc=field(loc_0, loc_1)[..., None, :],
        log_scale=field(log_scale_0, log_scale_1)[..., None, :],
        coefficients=jnp.zeros((len(x), 1, 1, 1, 1, 2)),
    )
    return p.log_prob(x[:, None, None, None])


def make_categorical(logit, chosen):
    others = jnp.zeros((len(logit), 1, 2))
    logits = jnp.concatenate([logit[:, None, None], others], axis=-1)
    return tabular.Categorical(logits).log_prob(chosen[:, None])


def make_normal_mixture(logit, mean_0, mean_1, log_std_0, log_std_1, x):
    def one(logit, mean_0, mean_1, log_std_0, log_std_1, x):
        p = mixtures.NormalMixture(
            log_weights=jax.nn.log_sigmoid(jnp.stack([logit, -logit])),
            component_mean=jnp.stack([mean_0, mean_1])[:, None],
            component_log_std=jnp.stack([log_std_0, log_std_1])[:, None],
            batch_size=1,
        )
        return p.log_prob(x[None, None])[0]

    return jax.vmap(one)(logit, mean_0, mean_1, log_std_0, log_std_1, x)


def make_optimal_normal(mean, other, x):
    p = dist.OptimalNormal(jnp.stack([mean, other], axis=1))
    return p.log_prob(jnp.stack([x, jnp.zeros_like(x)], axis=1))


def make_flow(mean, log_std, x):
    base = dist.DiagonalNormal(
        jnp.stack([mean, mean], axis=1), jnp.stack([log_std, log_std], axis=1)
    )
    p = flows.CouplingFlow(
        base=base,
        context=jnp.zeros((len(x), 2, 4)),
        weights_in=jnp.asarray(densities.FLOW[0], jnp.float32),
        weights_out=jnp.asarray(
            np.concatenate([densities.FLOW[1], densities.FLOW[2]], axis=1), jnp.float32
        ).swapaxes(1, 2),
        bias_out=jnp.zeros((2, 4)),
    )
    return p.log_prob(jnp.stack([x, jnp.full_like(x, 0.3)], axis=1))


def make_kl(*fields):
    q_mean, q_log_std, p_mean, p_log_std = columns(*fields)
    q, p = (
        dist.DiagonalNormal(q_mean, q_log_std),
        dist.DiagonalNormal(p_mean, p_log_std),
    )
    return dist.kl_divergence(q, p)[:, 0]


def make_masked(value, x):
    p = dist.DiagonalNormal(
        jnp.stack([value, value], axis=1), jnp.zeros((len(value), 2))
    )
    both = tabular.Product({"seen": tabular.Masked(p)})
    numbers = jnp.stack([x, jnp.full_like(x, jnp.nan)], axis=1)
    seen = jnp.asarray([[True, False]] * len(x))
    return both.log_prob({"seen": {"value": numbers, "observed": seen}})


SCALES = (-BOUND, 0.0, BOUND)
AROUND_MEAN = [(0.5, s, 0.5 + d * np.exp(s)) for s in SCALES for d in (-1, 0, 1)]
LOGITS = [0.0, 1e-30, -1e-30, 1e-3, -1e-3, 20.0, -20.0, 100.0, -100.0]
SWITCH = [
    s * np.nextafter(np.float32(0.3), np.float32(t)) for s in (1, -1) for t in (0, 1)
]
LEVELS = (0.0, LEVEL, 100 * LEVEL, 254 * LEVEL, 1.0)
# Around a level, and where one of its two edges is the location.
LOGISTIC_SCALES = (-BOUND, -7.69, -3.0, BOUND)
LOCATIONS = [
    (x + d, s, x)
    for x in LEVELS
    for d in (-0.5 * LEVEL, 0, 0.5 * LEVEL)
    for s in LOGISTIC_SCALES
]

CASES = {
    "DiagonalNormal": Case(
        of_one_number(dist.DiagonalNormal),
        densities.normal,
        AROUND_MEAN,
        (0, 1, 2),
        lambda mean, log_std, x: 1e-4 * np.exp(np.minimum(log_std, 0)),
    ),
    "Laplace": Case(
        of_one_number(dist.Laplace),
        densities.laplace,
        AROUND_MEAN,
        (0, 1, 2),
        lambda mean, log_scale, x: 1e-4 * np.exp(np.minimum(log_scale, 0)),
    ),
    "Bernoulli": Case(
        of_one_number(dist.Bernoulli),
        densities.bernoulli,
        list(itertools.product(LOGITS, (0.0, 1.0))),
        (0,),
    ),
    "ContinuousBernoulli": Case(
        of_one_number(dist.ContinuousBernoulli),
        densities.continuous_bernoulli,
        list(itertools.product([*LOGITS, *SWITCH], (0.0, 0.5, 1.0))),
        (0, 1),
    ),
    "OptimalNormal": Case(
        make_optimal_normal,
        densities.optimal_normal,
        [(0.5, 0.0, 0.5), (0.5, 0.1, 0.5), (0.5, 1e-4, 0.5), (0.5, 0.0, 0.7)],
        (0, 1),
        lambda *_: 1e-6,
    ),
    "DiscretizedLogistic": Case(
        of_one_number(dist.DiscretizedLogistic),
        densities.logistic,
        LOCATIONS,
        (0, 1),
        lambda loc, log_scale, x: 1e-4 * np.exp(np.minimum(log_scale, 0)),
    ),
    "DiscretizedLogisticMixture": Case(
        make_logistic_mixture,
        densities.logistic_mixture,
        [(0.0, loc, loc, s, -3.0, x) for loc, s, x in LOCATIONS],
        (0, 1, 2, 3, 4),
        lambda logit, loc_0, loc_1, s_0, s_1, x: 1e-4 * np.exp(np.minimum(s_0, 0)),
    ),
    "Categorical": Case(
        make_categorical,
        densities.categorical,
        [(logit, chosen) for logit in (0.0, 20.0, -20.0) for chosen in (0.0, 1.0, 2.0)],
        (0,),
    ),
    "NegativeBinomial": Case(
        of_one_number(tabular.NegativeBinomial),
        densities.negative_binomial,
        [
            (log_mean, log_r, k)
            for log_r in (-BOUND, 0.0, np.log(8.0), BOUND)
            for log_mean in (log_r, 1.0, -BOUND)
            for k in (0.0, 1.0, 50.0)
        ],
        (0, 1),
    ),
    "NormalMixture": Case(
        make_normal_mixture,
        densities.normal_mixture,
        [
            (0.0, mean, mean, s, s, mean + d * np.exp(s))
            for mean in (0.0, 1.0)
            for s in SCALES
            for d in (0, 1)
        ]
        + [(0.0, 0.0, 1.0, -2.0, BOUND, 0.0), (0.0, 0.0, 1.0, 0.0, 0.0, 0.5)],
        (0, 1, 2, 3, 4, 5),
        lambda logit, m_0, m_1, s_0, s_1, x: 1e-4 * np.exp(np.minimum(s_0, 0)),
    ),
    "CouplingFlow": Case(
        make_flow,
        densities.flow,
        [(0.0, s, x) for s in (-3.0, 0.0, BOUND) for x in (0.0, 0.7)],
        (0, 1, 2),
    ),
    "Masked and Product": Case(
        make_masked, densities.masked, [(0.0, 0.0), (0.0, 2.0)], (0,)
    ),
    "kl_divergence": Case(
        make_kl,
        densities.kl,
        [(m, s, 0.0, s) for m in (0.0, 1.0) for s in SCALES]
        + [(1.0, BOUND, 0.0, 0.0), (0.0, -BOUND, 0.0, BOUND), (0.0, 9.0, 0.0, -9.0)],
        (0, 1, 2, 3),
        lambda mean, log_std, mean_p, log_std_p: (
            1e-4 * np.exp(np.minimum(log_std_p, 0))
        ),
    ),
}


def by_differences(reference, arguments, i, step):
    """d reference / d arguments[i], [N]."""
    above, below = list(arguments), list(arguments)
    above[i], below[i] = arguments[i] + step, arguments[i] - step
    return (reference(*above) - reference(*below)) / (above[i] - below[i])


@pytest.mark.parametrize("name", CASES)
def test_first_derivatives_at_special_points(name):
    case = CASES[name]
    single = np.asarray(case.points, np.float32).T
    double = list(np.float64(single))
    step = case.step(*double)

    def total(*arguments):
        return case.log_prob(*arguments).sum()

    gradient = jax.jit(
        jax.grad(total, argnums=tuple(case.smooth_in)), compiler_options=FAST_COMPILE
    )
    found = gradient(*single)
    for i, slopes in zip(case.smooth_in, found, strict=True):
        expected = by_differences(case.reference, double, i, step)
        # Rounding of the terms whose sum the slope is: relative to the unit of x.
        unit = 1 + np.abs(expected)
        wrong = np.flatnonzero(~(np.abs(slopes - expected) < 1e-3 * unit))
        assert not wrong.size, [
            (i, case.points[n], float(slopes[n]), float(expected[n])) for n in wrong
        ]


@pytest.mark.parametrize("name", ["Bernoulli", "ContinuousBernoulli"])
def test_curvature_at_special_logits(name):
    case = CASES[name]
    logits, x = np.asarray(case.points, np.float32).T
    slope = jax.grad(lambda logits: case.log_prob(logits, x).sum())
    # The sum over points is diagonal, so a product with ones is its diagonal.
    curvature = jax.jit(
        lambda logits: jax.jvp(slope, [logits], [jnp.ones_like(logits)])[1],
        compiler_options=FAST_COMPILE,
    )(logits)
    double, h = np.float64(logits), 1e-3
    values = [case.reference(double + d, np.float64(x)) for d in (-h, 0, h)]
    expected = (values[0] - 2 * values[1] + values[2]) / h**2
    np.testing.assert_allclose(curvature, expected, atol=2e-5)


def test_every_distribution_is_in_the_table():
    modules = (dist, mixtures, flows, tabular)
    names = {
        name
        for module in modules
        for name, thing in vars(module).items()
        if isinstance(thing, type)
        and thing.__module__ == module.__name__
        and hasattr(thing, "log_prob")
        and not getattr(thing, "_is_protocol", False)
    }
    in_no_row = {"Deterministic"}  # it has no density
    listed = set(CASES) | {"Masked", "Product"}
    assert names - in_no_row <= listed
