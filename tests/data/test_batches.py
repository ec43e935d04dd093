"""Order and preprocessing as pure functions of seed and step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.data.batches import (
    LEVELS,
    Group,
    InMemoryBatches,
    _threshold,
    batch_indices,
    bernoulli,
    binarization_noise,
    grouped_indices,
    preprocessor,
)
from vae_jax.data.fixed_draw import _draw, fixed_draw

N, B = 23, 5
KEY = jax.random.key(3)


def test_an_epoch_sees_each_row_at_most_once_and_epochs_differ():
    per_epoch = N // B
    rows = batch_indices(0, 0, 3 * per_epoch, N, B).reshape(3, -1)
    for epoch in rows:
        assert len(set(epoch.tolist())) == per_epoch * B
    assert not (rows[0] == rows[1]).all()
    assert set(rows.ravel().tolist()) == set(range(N))


def test_order_depends_on_the_seed_and_not_on_where_one_starts():
    whole = batch_indices(1, 0, 20, N, B)
    for start, length in ((0, 3), (3, 9), (7, 13)):
        part = batch_indices(1, start, length, N, B)
        np.testing.assert_array_equal(part, whole[start : start + length])
    assert not (whole == batch_indices(2, 0, 20, N, B)).all()


def test_each_group_keeps_its_order_while_another_one_goes_through_epochs(monkeypatch):
    """The order of a million rows would else be drawn anew for each chunk."""
    drawn, make = [], np.random.default_rng
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed: (drawn.append(seed), make(seed))[1]
    )
    groups = [Group(np.arange(1000), 5), Group(np.arange(1000, 1010), 5)]
    for start in (0, 20, 40):
        grouped_indices(987, start, 20, groups)
    assert drawn.count((987, 0)) == 1
    assert len(drawn) == 1 + 60 // 2


def test_batches_hold_the_images_of_their_rows():
    images = np.arange(N, dtype=np.uint8).reshape(N, 1, 1, 1)
    data, rows = InMemoryBatches(images, seed=4, batch_size=B)(6, 3, 10)
    assert rows.shape == (10, B)
    np.testing.assert_array_equal(
        np.asarray(data)[np.asarray(rows[:3])].squeeze((2, 3, 4)),
        batch_indices(4, 6, 3, N, B),
    )


def test_scaling_and_threshold():
    images = np.asarray([0, 127, 128, 255], np.uint8).reshape(4, 1, 1, 1)
    scaled = preprocessor("none", False)(jnp.asarray(images), KEY)
    np.testing.assert_allclose(scaled.ravel(), [0, 127 / 255, 128 / 255, 1], rtol=1e-6)
    binary = preprocessor("threshold", False)(jnp.asarray(images), KEY)
    np.testing.assert_array_equal(binary.ravel(), [0, 0, 1, 1])
    np.testing.assert_array_equal(
        preprocessor("none", False)(scaled, KEY).ravel(), scaled.ravel()
    )


def test_share_of_noise_in_binarised_images():
    """The law of total variance, measured on draws; exact at its ends."""
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8) // 2
    keys = jax.random.split(KEY, 4000)
    draws = jax.vmap(lambda key: preprocessor("dynamic")(jnp.asarray(grey), key))(keys)
    measured = float(draws.var(axis=0).mean() / draws.var())
    assert binarization_noise(grey) == pytest.approx(measured, rel=2e-3)
    floats = grey.astype(np.float32) / 255
    assert binarization_noise(floats) == pytest.approx(binarization_noise(grey))
    assert binarization_noise(grey // 127 * np.uint8(255)) == pytest.approx(0)
    assert binarization_noise(np.full_like(grey, 100)) == pytest.approx(1)
    assert binarization_noise(np.zeros_like(grey)) == 0


def test_dynamic_binarisation_has_the_grey_value_as_its_mean():
    grey = np.asarray([0, 51, 204, 255], np.uint8)
    images = jnp.asarray(np.tile(grey, (4000, 1)).reshape(4000, 4, 1, 1))
    draw = preprocessor("dynamic", False)
    x = draw(images, KEY)
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_allclose(
        x.mean(axis=0).ravel(), [0, 0.2, 0.8, 1], atol=5 * 0.4 / 4000**0.5
    )
    assert not (x == draw(images, jax.random.key(4))).all()  # a fresh draw
    assert (x == draw(images, KEY)).all()


def test_every_level_has_its_probability_in_sixteen_bits():
    """Off by at most half of 2^-16; black and white are certain."""
    levels = np.arange(256)
    shares = np.asarray(_threshold(jnp.asarray(levels, jnp.float32) / 255)) / LEVELS
    assert np.abs(shares - levels / 255).max() < 2**-17 + 1e-7  # float32
    assert shares[0] == 0 and shares[-1] == 1
    inside = slice(1, 255)
    p, q = levels[inside] / 255, shares[inside]
    nats = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert 784 * nats.max() < 1e-4  # the divergence of a whole image


def test_draws_of_every_level_have_its_probability():
    num, levels = 20_000, np.arange(256)
    mean = jnp.broadcast_to(jnp.asarray(levels, jnp.float32) / 255, (num, 256))
    x = np.asarray(bernoulli(KEY, mean))
    assert not x[:, 0].any() and x[:, -1].all()
    p = levels[1:255] / 255
    z = (x[:, 1:255].mean(axis=0) - p) / np.sqrt(p * (1 - p) / num)
    assert np.abs(z).max() < 5
    assert abs((z**2).mean() - 1) < 5 * (2 / len(z)) ** 0.5


@pytest.mark.parametrize("apart", [1, 2])
def test_both_halves_of_a_word_are_independent(apart):
    x = np.asarray(bernoulli(KEY, jnp.full((2_000, 101), 0.3))) - 0.3
    product = (x[:, apart:] * x[:, :-apart])[:, ::2]
    assert abs(product.mean()) < 5 * product.std() / product.size**0.5


def test_dequantisation_stays_within_a_level():
    images = jnp.asarray(np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1))
    x = np.asarray(preprocessor("none", True)(images, KEY)).ravel() * 256
    np.testing.assert_array_equal(np.floor(x), np.arange(256))
    assert np.ptp(x - np.floor(x)) > 0.8


@pytest.mark.parametrize("cut", [1, 4, 16])
def test_the_draw_for_evaluation_does_not_depend_on_chunks(cut):
    images = np.random.default_rng(0).integers(0, 256, (16, 3, 3, 1), np.uint8)
    draw = fixed_draw(preprocessor("dynamic", False), KEY)
    rows = np.arange(16)
    whole = draw(jnp.asarray(images), jnp.asarray(rows))
    for start in range(0, 16, cut):
        part = slice(start, start + cut)
        np.testing.assert_array_equal(
            draw(jnp.asarray(images[part]), jnp.asarray(rows[part])), whole[part]
        )
    assert not (whole[0] == whole[1]).all()


def test_any_number_of_images_goes_through_one_program():
    preprocess = preprocessor("dynamic", False)
    assert preprocessor("dynamic", False) is preprocess
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 3, 1), np.uint8)
    draw = fixed_draw(preprocess, KEY)
    whole = draw(images, np.arange(300))
    one_by_one = jax.vmap(lambda row: jax.random.fold_in(KEY, row))(jnp.arange(300))
    wanted = jax.vmap(preprocess)(jnp.asarray(images), one_by_one)
    np.testing.assert_array_equal(whole, wanted)
    programs = _draw._cache_size()
    for rows in ([299], [7, 3], np.arange(129)):
        np.testing.assert_array_equal(draw(images[rows], rows), whole[np.array(rows)])
    fixed_draw(preprocess, jax.random.key(9))(images, np.arange(300))
    assert _draw._cache_size() == programs
