"""How a fitted prior is trained: by likelihood, and by what validation codes say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.fitted import flow, mixture, training, two_stage
from vae_jax.fitted.base import Draws

KEY = jax.random.key(0)
GRID = np.linspace(-7, 7, 71)
POINTS = jnp.asarray(np.stack(np.meshgrid(GRID, GRID), axis=-1).reshape(-1, 2))


def banana(num: int, seed: int) -> jnp.ndarray:
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(num, 2)) * [1.0, 0.3]
    return jnp.asarray(u + np.stack([0 * u[:, 0], u[:, 0] ** 2 - 1], 1), jnp.float32)


DRAWS = Draws(banana(2000, 0), banana(500, 1))


def test_the_parameters_of_the_best_validation_are_kept():
    """The state counts steps, and 310 is the best, of which 318 is the nearest seen."""
    learner = training.Learner(
        state=jnp.float32(0),
        step=lambda state, rows, key: state + 1,
        params=lambda state: state,
        log_prob=lambda params, rows: jnp.full(len(rows), -((params - 310.0) ** 2)),
    )
    rows, seen = jnp.zeros((7, 2)), []
    best = training.train(
        learner, rows, rows, KEY, 1050, 4, lambda *counts: seen.append(counts)
    )
    assert best == 318  # of 0, 53, 106, ..., 1050
    assert seen[-1] == (1050, 1050)
    done = [count for count, total in seen]
    assert done[0] == 1  # news comes early, and with each evaluation
    assert set(done) >= set(range(53, 1050, 53))


SMALL = {
    flow: {"num_layers": 3, "width": 16, "num_steps": 400},
    two_stage: {"width": 16, "num_steps": 800},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_a_density_that_integrates_to_one_and_beats_the_normal(kind):
    prior = kind.fit(DRAWS, KEY, learning_rate=1e-2, **SMALL[kind])
    log_prob = jax.jit(lambda prior, z: prior.log_prob(z))
    total = jnp.exp(log_prob(prior, POINTS)).sum() * (GRID[1] - GRID[0]) ** 2
    # That of the second VAE is an estimate, right in the mean.
    np.testing.assert_allclose(total, 1.0, atol=0.01 if kind is flow else 0.1)
    normal = mixture.fit_gaussian(DRAWS, KEY)
    nats = [float(-log_prob(p, DRAWS.validation).mean()) for p in (prior, normal)]
    assert nats[0] < nats[1] - 0.3
    # Draws have the density: its mean over them is minus the entropy, that over codes
    # minus the cross-entropy, which is near it for a good fit.
    drawn = prior.sample(KEY, len(DRAWS.validation))
    assert drawn.shape == DRAWS.validation.shape
    assert abs(float(-log_prob(prior, drawn).mean()) - nats[0]) < 0.3


def test_the_flow_begins_as_the_normal_with_the_moments_of_the_codes():
    normal = mixture.fit_gaussian(DRAWS, KEY)
    start = flow.Flow(normal, flow.like(DRAWS, KEY, num_layers=2).couplings)
    np.testing.assert_allclose(
        start.log_prob(DRAWS.validation), normal.log_prob(DRAWS.validation), rtol=1e-4
    )


def test_the_second_vae_weighs_many_rows_in_little_memory():
    """All draws of all rows at once would take 8 times as much of it."""
    prior = two_stage.like(DRAWS, KEY, width=64)

    def of_rows(num):
        rows = jax.ShapeDtypeStruct((num, 2), jnp.float32)
        compiled = jax.jit(lambda z: prior.log_prob(z)).lower(rows).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert of_rows(4096) < 2 * of_rows(512)
    one_by_one = [prior.log_prob(z[None])[0] for z in DRAWS.train[254:258]]
    whole = prior.log_prob(DRAWS.train[:258])
    np.testing.assert_allclose(whole[254:], one_by_one, rtol=1e-5)
