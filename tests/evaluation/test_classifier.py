"""The small classifier and what it says about images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.evaluation.chunks import even_rows, map_chunks
from vae_jax.evaluation.classifier import fit_classifier, label_numbers

CENTERS = 3 * jnp.eye(4)


def blobs(seed, num, spread=0.3):
    label_key, noise_key = jax.random.split(jax.random.key(seed))
    labels = jax.random.randint(label_key, (num,), 0, 4)
    noise = spread * jax.random.normal(noise_key, (num, 4))
    return (CENTERS[labels] + noise).reshape(num, 2, 2, 1), labels


@pytest.fixture(scope="module")
def classifier():
    train, heldout = blobs(0, 2000), blobs(1, 1001)
    key = jax.random.key(2)
    return fit_classifier(*train, *heldout, key, num_classes=4, num_steps=300)


def test_accuracy_on_blobs_that_do_not_overlap(classifier):
    assert classifier.accuracy > 0.999


def test_rows_of_any_place_and_size_are_standardised():
    def moved(seed, num):
        x, labels = blobs(seed, num)
        return x * jnp.array([[[[1.0], [1e-3]], [[1e3], [0.0]]]]) + 1e3, labels

    fitted = fit_classifier(
        *moved(0, 2000),
        *moved(1, 1000),
        jax.random.key(2),
        num_classes=4,
        standardize=True,
        num_steps=300,
    )
    assert fitted.accuracy > 0.95
    guesses = fitted.probabilities(moved(1, 1000)[0]).argmax(axis=1)
    assert (guesses == moved(1, 1000)[1]).mean() == fitted.accuracy


def test_accuracy_on_labels_that_mean_nothing_is_chance():
    x, _ = blobs(0, 2000)
    key = jax.random.key(2)
    train_y, heldout_y = jax.random.randint(key, (2, 2000), 0, 2)
    fitted = fit_classifier(x, train_y, x, heldout_y, key, num_classes=2, num_steps=100)
    assert fitted.accuracy == pytest.approx(0.5, abs=0.06)  # 5 standard errors


def test_confident_and_varied(classifier):
    numbers = label_numbers(classifier, blobs(3, 4000)[0])
    assert numbers["confident"] > 0.99
    assert numbers["label_entropy"] == pytest.approx(np.log(4), abs=0.01)


def test_one_label_has_no_entropy_and_half_is_unsure(classifier):
    good = jnp.tile(CENTERS[0], (50, 1))
    between = jnp.tile((CENTERS[0] + CENTERS[1]) / 2, (50, 1))
    boundary = label_numbers(classifier, between.reshape(50, 2, 2, 1))
    x = jnp.concatenate([good, between]).reshape(100, 2, 2, 1)
    numbers = label_numbers(classifier, x)
    assert numbers["label_entropy"] == pytest.approx(0, abs=1e-6)
    assert numbers["confident"] == 0.5
    assert boundary["confident"] == 0
    assert np.isnan(boundary["label_entropy"])


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 10, 100])
def test_chunks_of_any_size_give_the_same(chunk_size):
    rows = {"a": jnp.arange(10.0), "b": jnp.arange(20.0).reshape(10, 2)}
    result = map_chunks(lambda r: r["b"] * r["a"][:, None], rows, chunk_size)
    np.testing.assert_array_equal(result, rows["b"] * rows["a"][:, None])


def test_even_rows():
    np.testing.assert_array_equal(even_rows(10, 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(even_rows(3, 10), [0, 1, 2])
    assert len(set(even_rows(60_000, 2000))) == 2000
