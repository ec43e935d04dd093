"""Codes as rows: of the layer next to the data, or of all layers side by side."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE, random_params
from tests.models.test_top_down import binary, model_of
from vae_jax.evaluation import joined, measures
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.first_layer import MOST_JOINED, FirstLayer
from vae_jax.trained import Trained
from vae_jax.training.functions import model_functions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(1)
SHAPE = (4, 4, 1)
LENGTH = 2 * (1 + 4)  # numbers in the codes of both layers


@pytest.fixture(scope="module")
def deep():
    """A model that decodes the codes of two layers, and its rows."""
    model = model_of("1x1,2x1", SHAPE, width=4)
    x = binary(SHAPE)
    trained = Trained(model, random_params(model_functions(model), x))
    return FirstLayer.of(trained, x), x


def test_codes_of_any_shapes_lie_side_by_side_and_come_back():
    codes = (jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(2.0).reshape(2, 1))
    rows = joined.join(codes)
    assert rows.shape == (2, 13)
    np.testing.assert_array_equal(rows[1], [*range(12, 24), 1])
    back = joined.split(rows, joined.shapes_of(codes))
    jax.tree.map(np.testing.assert_array_equal, back, codes)


def test_a_row_holds_all_codes_that_the_decoder_needs(deep):
    layer, x = deep
    assert layer.is_joined and layer.is_only and not layer.is_normal
    z = layer.prior(5).sample(KEY)
    assert z.shape == (5, LENGTH)
    codes = joined.split(z, layer.shapes)
    trained = layer.trained
    np.testing.assert_allclose(
        layer.decode(z).logits, jit(Trained.decode)(trained, codes).logits, rtol=1e-4
    )
    log_prob = jit(lambda t, codes: t.prior(5).log_prob(codes))(trained, codes)
    np.testing.assert_allclose(layer.prior(5).log_prob(z), log_prob, rtol=1e-5)
    points, (mean, variance) = layer.points(x), layer.moments(x)
    assert points.shape == mean.shape == variance.shape == (len(x), LENGTH)
    # Draws, the same at each call, at a distance from their means of some noise each.
    np.testing.assert_array_equal(points, layer.points(x))
    standardized = (points - mean) / jnp.sqrt(variance)
    assert np.all(np.abs(standardized) < 5) and np.all(standardized != 0)


def test_of_long_rows_only_some_are_kept(deep):
    layer, x = deep
    many = Split(lambda rows: x[rows % len(x)], np.arange(MOST_JOINED + 50))
    assert layer.codes(many, KEY).mean.shape == (MOST_JOINED, LENGTH)
    few = Split(lambda rows: x[rows % len(x)], np.arange(7))
    assert layer.codes(few, KEY).mean.shape == (7, LENGTH)


@pytest.mark.slow
def test_measures_say_what_is_not_defined_where_a_decoder_needs_all_layers(deep):
    layer, _ = deep
    images = np.asarray(binary(SHAPE))[np.arange(40) % 3]
    split = Split(lambda rows: jnp.asarray(images[rows % 40]), np.arange(40))
    why: dict[str, str] = {}
    numbers = measures.measure(
        ("codes", "regularity", "likelihood"),
        layer.trained,
        Data(train=split, heldout=split),
        KEY,
        measures.Effort(num_samples=3),
        on_undefined=why.__setitem__,
    )
    assert list(why) == ["codes"]
    assert why["codes"].startswith("needs a decoder of one layer's code")
    undefined = {
        "round_trip",
        "round_trip_inside",
        "codes_sensitivity",
        "fitted_coverage",
        "fitted_frechet_pca",
    }
    defined = {
        "length_ratio",
        "codes_length_ratio",
        "path_energy",
        "sensitivity",
        "coverage",
        "codes_coverage",
        "frechet_pca",
        "elbo",
        "active_units_layer2",
    }
    assert {name for name in undefined if numbers[name] is not None} == set()
    assert {name for name in defined if numbers[name] is None} == set()
