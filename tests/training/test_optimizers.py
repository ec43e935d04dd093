"""Links of the optimiser against their definitions in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.training.optimizers import normalize_each, scale_by_adam, stages


def test_adam_with_a_second_moment_that_starts_above_zero():
    b1, b2, eps, start = 0.99, 0.999, 5e-6, 1 / 400
    gradients = np.random.default_rng(0).normal(size=(5, 3))
    m, v = np.zeros(3), np.full(3, start)
    tx = scale_by_adam(b1, b2, eps, start)
    state = tx.init(jnp.zeros(3))
    for t, gradient in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        expected = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        update, state = tx.update(jnp.asarray(gradient), state)
        np.testing.assert_allclose(update, expected, rtol=2e-5)


def test_adam_from_zero_is_that_of_optax():
    gradient = jnp.asarray([0.3, -2.0])
    ours, theirs = scale_by_adam(0.9, 0.999, 1e-8), optax.scale_by_adam()
    update, _ = ours.update(gradient, ours.init(gradient))
    expected, _ = theirs.update(gradient, theirs.init(gradient))
    assert (update == expected).all()


def test_normalize_each_gives_arrays_of_norm_one():
    gradients = {"w": jnp.asarray([[3.0, 4.0]]), "b": jnp.asarray([-1e-3])}
    tx = normalize_each()
    scaled, _ = tx.update(gradients, tx.init(gradients))
    np.testing.assert_allclose(scaled["w"], [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(scaled["b"], [-1.0], rtol=1e-6)


def test_stages_are_those_of_the_paper():
    factor = jax.vmap(stages(3280))(jnp.arange(3280))
    lengths = [3**i for i in range(8)]
    rates = [1, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.1]
    np.testing.assert_allclose(factor, np.repeat(rates, lengths), rtol=1e-6)
