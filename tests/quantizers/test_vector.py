"""VQ: a codebook that follows the encoder, against NumPy and against k-means."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE
from vae_jax.distributions.quantized import index_of
from vae_jax.errors import ConfigError
from vae_jax.quantizers.vector import SMOOTHING, Codebook, VQPosterior

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(0)
C, D, N = 4, 2, 200
# Four clouds that are far apart.
CENTERS = np.array([[3.0, 3.0], [-3.0, 3.0], [3.0, -3.0], [-3.0, -3.0]], np.float32)
NOISE = np.random.default_rng(0).normal(0, 0.1, (N, D))
CLOUDS = jnp.asarray(np.repeat(CENTERS, N // C, axis=0) + NOISE, jnp.float32)


def identity(**settings):
    """A VQ of the features themselves, one site each: variables and a step."""
    module = VQPosterior(num_codes=C, code_dim=D, num_sites=1, **settings)
    variables = module.init({"params": KEY, "dropout": KEY}, CLOUDS, train=True)
    dense = {"kernel": jnp.eye(D), "bias": jnp.zeros(D)}
    params = {"vectors": dense}

    @jit
    def step(state, features, key):
        q, changed = module.apply(
            {"params": params, "codebook": state},
            features,
            train=True,
            rngs={"dropout": key},
            mutable=["codebook"],
        )
        return q, changed["codebook"]

    return module, params, variables["codebook"], step


def codes(state):
    return Codebook(state["counts"], state["sums"]).vectors


def test_a_fixed_batch_leads_to_k_means():
    """The codes become the means of what is assigned to them, and none is unused."""
    _, _, state, step = identity(decay=0.5)
    for key in jax.random.split(KEY, 40):
        q, state = step(state, CLOUDS, key)
    index = np.asarray(q.index)[:, 0]
    means = np.array([np.mean(CLOUDS[index == c], axis=0) for c in range(C)])
    np.testing.assert_allclose(codes(state), means, atol=1e-4)


def test_the_first_codes_are_vectors_of_the_batch():
    _, _, state, step = identity()
    q, after = step(state, CLOUDS, KEY)
    rows = {tuple(row) for row in np.asarray(CLOUDS).tolist()}
    assert {tuple(row) for row in np.asarray(q.codebook).tolist()} <= rows
    assert after["step"] == 1
    # In evaluation nothing changes, whatever was learned.
    module, params, state, _ = identity()
    one = module.apply({"params": params, "codebook": state}, CLOUDS, train=False)
    np.testing.assert_array_equal(one.codebook, codes(state))


def test_averages_start_anew_and_then_decay():
    """By hand: k-means for num_start_steps, then g n + (1 - g) count."""
    _, _, state, step = identity(decay=0.9, num_start_steps=2, dead_share=0.0)
    counts = sums = None
    for t, key in enumerate(jax.random.split(KEY, 5)):
        features = CLOUDS + 0.1 * t
        q, state = step(state, features, key)
        hot = np.eye(C)[np.asarray(q.index)[:, 0]]
        new = hot.sum(axis=0), hot.T @ np.float64(features)
        g = 0.0 if t < 2 else 0.9
        counts = new[0] if t == 0 else g * counts + (1 - g) * new[0]
        sums = new[1] if t == 0 else g * sums + (1 - g) * new[1]
        np.testing.assert_allclose(state["counts"], counts, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state["sums"], sums, rtol=1e-4, atol=1e-4)


def test_smoothed_counts_are_used_and_not_kept():
    counts, sums = jnp.array([3.0, 0.0, 1.0, 0.0]), jnp.ones((C, D))
    book = Codebook(counts, sums)
    smoothed = (np.float64(counts) + SMOOTHING) * 4 / (4 + C * SMOOTHING)
    np.testing.assert_allclose(book.vectors, 1 / smoothed[:, None] + np.zeros(D), 1e-4)
    same = book.updated(jnp.ones((1, D)), jnp.array([0]), decay=1.0)
    np.testing.assert_array_equal(same.counts, counts)


def test_dead_codes_begin_anew_with_an_average_count():
    book = Codebook(jnp.array([6.0, 0.1, 1.9, 0.0]), jnp.ones((C, D)))
    found = book.without_dead(candidates=7.0 * jnp.ones((C, D)), share=0.1)
    np.testing.assert_allclose(found.counts, [6.0, 2.0, 1.9, 2.0])
    np.testing.assert_allclose(found.sums[:, 0], [1.0, 14.0, 1.0, 14.0])
    # Far from all data, no code would ever be chosen: within a step it is.
    _, _, state, step = identity(num_start_steps=0)
    far = {
        "step": jnp.ones((), jnp.int32),
        "counts": jnp.full(C, 50.0),
        "sums": jnp.full((C, D), 5e3).at[0].set(0.0),
    }
    for key in jax.random.split(KEY, 300):
        q, far = step(far, CLOUDS, key)
    assert len(np.unique(q.index)) == C


def test_no_gradient_reaches_the_codes_and_the_vectors_get_all_of_it():
    module, params, state, _ = identity()
    weights = jax.random.normal(KEY, (N, 1, D))

    def loss(state, features):
        variables = {"params": params, "codebook": state}
        return (module.apply(variables, features, train=False).mean * weights).sum()

    floats = {name: state[name] for name in ("counts", "sums")}
    to_state, to_features = jit(
        jax.grad(lambda s, f: loss({**state, **s}, f), argnums=(0, 1))
    )(floats, CLOUDS)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(to_state))
    np.testing.assert_array_equal(to_features, weights[:, 0])


def test_codes_are_the_nearest_in_training_too():
    _, _, state, step = identity()
    for key in jax.random.split(KEY, 3):
        q, state = step(state, CLOUDS, key)
        expected = index_of(CLOUDS[:, None], q.codebook)
        np.testing.assert_array_equal(q.index, expected)
        np.testing.assert_array_equal(q.mean, np.asarray(q.codebook)[q.index])


def test_left_out_train_is_an_error():
    """Not a codebook that is never learned."""
    module, params, state, _ = identity()
    with pytest.raises(TypeError, match="train"):
        module.apply({"params": params, "codebook": state}, CLOUDS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_codes": 0}, "num_codes=0: must be"),
        ({"num_codes": 70_000}, "num_codes=70000: must make at most"),
        ({"code_dim": 0}, "code_dim=0: must be"),
        ({"decay": 1.0}, r"decay=1\.0: must be at least 0 and below 1"),
        ({"dead_share": -0.1}, r"dead_share=-0\.1: must be"),
        ({"num_start_steps": -1}, "num_start_steps=-1: must be"),
    ],
)
def test_bad_arguments_are_one_line(settings, message):
    with pytest.raises(ConfigError, match=message):
        VQPosterior(**settings)
