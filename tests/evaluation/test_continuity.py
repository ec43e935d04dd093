"""Lines and sensitivities of decoders whose Jacobian is given."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from vae_jax.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiagonalNormal,
    DiscretizedLogistic,
    Laplace,
)
from vae_jax.evaluation import completeness
from vae_jax.evaluation.continuity import line_numbers, sensitivity

KEY = jax.random.key(0)
DIM, PIXELS = 3, 12
WEIGHT = jax.random.normal(jax.random.key(1), (DIM, PIXELS))
START, END, Z = jax.random.normal(jax.random.key(2), (3, 40, DIM))


def images(z, weight=WEIGHT):
    return (z @ weight).reshape(-1, 3, 4, 1)


def linear_normal(z, log_std=-1.0):
    return DiagonalNormal(mean=images(z), log_std=jnp.full((len(z), 3, 4, 1), log_std))


def test_lines_of_a_linear_decoder():
    numbers = line_numbers(Partial(linear_normal), START, END)
    exact = (np.asarray((END - START) @ WEIGHT) ** 2).sum(axis=1).mean()
    assert numbers["path_energy"] == pytest.approx(exact, rel=1e-5)
    assert numbers["length_ratio"] == pytest.approx(1, rel=1e-5)


def test_no_product_of_the_evaluation_is_rounded():
    """On a GPU the default would round what is multiplied to TF32."""
    same = Partial(lambda z: DiagonalNormal(z, jnp.zeros_like(z)))
    programs = [
        jax.make_jaxpr(line_numbers)(same, START, END),
        jax.make_jaxpr(completeness.real_images)(images(Z), images(START)),
    ]
    for program in programs:
        found = re.findall(r"dot_general\[.*?\n *\]", str(program), re.DOTALL)
        assert len(found) == 2 + (program is programs[1])
        assert all("precision=(Precision.HIGHEST" in product for product in found)


def test_lines_of_a_decoder_that_bends_them_into_arcs():
    def circle(z):
        angle = z[:, 0]
        mean = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
        return DiagonalNormal(mean, jnp.zeros_like(mean))

    start, end = jnp.zeros((10, 1)), jnp.linspace(1.0, 3.0, 10)[:, None]
    numbers = line_numbers(Partial(circle), start, end)
    angles = np.linspace(1.0, 3.0, 10)
    arc, chord = angles.mean(), (2 * np.sin(angles / 2)).mean()
    assert numbers["path_energy"] == pytest.approx((angles**2).mean(), rel=1e-5)
    assert numbers["length_ratio"] == pytest.approx(arc / chord, rel=1e-5)


def test_lines_along_which_a_decoder_speeds_up():
    def square(z):
        return DiagonalNormal(z**2, jnp.zeros_like(z))

    start, end = np.array([[0.0], [1.0], [-1.0]]), np.array([[2.0], [1.5], [2.0]])
    numbers = line_numbers(Partial(square), jnp.array(start), jnp.array(end))
    energy = 4 * (end - start) * (end**3 - start**3) / 3
    assert numbers["path_energy"] == pytest.approx(energy.mean(), rel=1e-5)


def test_decoder_that_ignores_its_code():
    def constant(z):
        return linear_normal(0.0 * z)

    numbers = line_numbers(Partial(constant), START, END)
    assert numbers["path_energy"] == 0
    assert np.isnan(numbers["length_ratio"])
    assert sensitivity(Partial(constant), Z, jnp.eye(DIM), KEY) == 0


def test_lines_between_codes_do_not_depend_on_the_scale_of_the_latent_space():
    def decode(z):
        return Bernoulli(images(z))

    def stretched(z):
        return decode(z / 10)

    before = line_numbers(Partial(decode), START, END)
    after = line_numbers(Partial(stretched), 10 * START, 10 * END)
    for name, value in before.items():
        assert after[name] == pytest.approx(float(value), rel=1e-4)


def log_scale(z):
    return jnp.full((len(z), 3, 4, 1), -1.0)


def continuous_bernoulli_fisher(logits):
    """An exponential family: the derivative of the mean by the natural parameter."""
    of_one = jax.grad(lambda logit: ContinuousBernoulli(logit).mean)
    return jax.vmap(of_one)(logits.ravel()).reshape(logits.shape)


def discretized_fisher(loc):
    """Sum over the 256 levels of p (d log p / d loc)^2."""

    def of_one(loc):
        def log_p(loc):
            levels = jnp.arange(256.0)[:, None] / 255
            ones = jnp.ones((256, 1))
            return DiscretizedLogistic(loc * ones, -ones).log_prob(levels)

        return (jnp.exp(log_p(loc)) * jax.jacfwd(log_p)(loc) ** 2).sum()

    return jax.vmap(of_one)(loc.ravel()).reshape(loc.shape)


# A decoder, and the Fisher information of a pixel about its feature.
DECODERS = {
    "bernoulli": (
        lambda z: Bernoulli(images(z)),
        lambda logits: jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits),
    ),
    "normal": (linear_normal, lambda mean: jnp.full_like(mean, np.exp(2.0))),
    "laplace": (
        lambda z: Laplace(images(z), log_scale(z)),
        lambda mean: jnp.full_like(mean, np.exp(2.0)),
    ),
    "continuous_bernoulli": (
        lambda z: ContinuousBernoulli(images(z)),
        continuous_bernoulli_fisher,
    ),
    "discretized_logistic": (
        lambda z: DiscretizedLogistic(images(z), log_scale(z)),
        discretized_fisher,
    ),
}


@pytest.mark.parametrize("name", DECODERS)
def test_sensitivity_is_half_the_mean_fisher_information(name):
    decode, fisher = DECODERS[name]
    units = jnp.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.1]])
    jacobian = units.T @ WEIGHT  # [D, P]: features moved by one unit
    exact = 0.5 * jnp.einsum("bp,dp->bd", fisher(Z @ WEIGHT), jacobian**2).mean()
    many = jnp.repeat(Z, 200, axis=0)
    estimate = sensitivity(Partial(decode), many, units, KEY)
    assert estimate == pytest.approx(float(exact), rel=0.05)


def test_sensitivity_is_the_divergence_of_a_small_move():
    def decode(z):
        return Bernoulli(images(z))

    step = 0.03
    p, logits = decode(Z).mean, decode(Z).logits
    divergences = []
    for axis in range(DIM):
        for sign in (step, -step):
            moved = decode(Z.at[:, axis].add(sign)).logits
            # KL of Bernoullis: p (l - l') - softplus(l) + softplus(l')
            terms = p * (logits - moved) - jax.nn.softplus(logits)
            divergences.append((terms + jax.nn.softplus(moved)).sum(axis=(1, 2, 3)))
    measured = np.mean(divergences) / step**2
    many = jnp.repeat(Z, 200, axis=0)
    estimate = sensitivity(Partial(decode), many, jnp.eye(DIM), KEY)
    assert estimate == pytest.approx(measured, rel=0.05)
