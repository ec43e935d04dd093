"""Measures of a model that is given labels, on models whose answers are known."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import linear_gaussian as lg
from tests.evaluation.test_ais import exact, linear_model
from vae_jax.distributions import DiagonalNormal
from vae_jax.distributions.tabular import Product
from vae_jax.evaluation import ais, measures
from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.models.base import LayeredPrior
from vae_jax.outputs import Latent
from vae_jax.runs.pictures import with_every_label
from vae_jax.trained import Trained

KEY = jax.random.key(2)
CLASSES, SIDE, NOISE = 3, 4, 0.1


def picture(label):
    """An image whose column tells the label, [B, SIDE, SIDE, 1]."""
    columns = jax.nn.one_hot(label, SIDE)
    return jnp.tile(columns[:, None, :, None], (1, SIDE, 1, 1))


class Painter(nn.Module):
    """p(x | y), whatever the code: the picture of y, or of one that is `wrong` more."""

    conditions_on = "label"
    wrong: int = 0

    def encode(self, x, key):
        z = jnp.zeros((len(x["label"]), 2))
        normal = DiagonalNormal.standard_like(z)
        return (Latent(z=normal.sample(key), posterior=normal, prior=normal),)

    def decode(self, codes, given=None):
        mean = picture((given + self.wrong) % CLASSES)
        return Product(
            {"image": DiagonalNormal(mean, jnp.full(mean.shape, math.log(NOISE)))}
        )

    def joint_prior(self, num, given=None):
        assert given.shape == (num,)
        return LayeredPrior(DiagonalNormal.standard_like(jnp.zeros((num, 2))))


def split(seed, num) -> Split:
    """Twice as many images of label 0 as of the others."""
    label = jnp.array([0, 1, 0, 2])[jnp.arange(num) % 4]
    noise = NOISE * jax.random.normal(jax.random.key(seed), (num, SIDE, SIDE, 1))
    image = picture(label) + noise
    return Split(
        lambda rows: {"image": image[rows], "label": label[rows]},
        np.arange(num),
        np.asarray(label),
    )


DATA = Data(split(0, 400), split(1, 200), CLASSES, classifier_key=KEY, labels=(0, 1, 2))


def measure(names, wrong=0):
    why: dict[str, str] = {}
    trained = Trained(Painter(wrong), {})
    found = measures.measure(names, trained, DATA, KEY, on_undefined=why.__setitem__)
    return found, why


@pytest.fixture(scope="module")
def perfect():
    return measure(["codes", "regularity", "conditional"])


def test_agreement_is_of_the_label_that_was_asked_for(perfect):
    numbers, _ = perfect
    assert numbers["label_agreement"] == numbers["real_label_agreement"] == 1.0
    assert numbers["label_agreement_standard_error"] == 0.0
    wrong, _ = measure(["conditional"], wrong=1)
    assert wrong["label_agreement"] == 0.0


def test_draws_are_compared_as_those_of_the_data_with_their_share_of_each_label(
    perfect,
):
    numbers, why = perfect
    assert why.keys() == {"codes"} and "this one is given the label" in why["codes"]
    for prefix in ("", "codes_", "real_"):
        assert numbers[f"{prefix}coverage"] == pytest.approx(1 - 2**-5, abs=0.04)
        entropy = 0.5 * math.log(2) + 0.5 * math.log(4)
        assert numbers[f"{prefix}label_entropy"] == pytest.approx(entropy, abs=0.03)
        assert numbers[f"{prefix}frechet_pca"] < 0.05
    undefined = ("length_ratio", "sensitivity", "round_trip", "fitted_coverage")
    assert all(numbers[name] is None for name in undefined)


def test_a_row_holds_the_code_and_the_label():
    layer = FirstLayer.of(Trained(Painter(), {}), DATA.heldout.x(np.zeros(1, int)))
    given = layer.given_as_in(DATA.train, 401)
    np.testing.assert_array_equal(np.bincount(given) // 100, [2, 1, 1])
    z = layer.prior(401, given).sample(KEY)
    assert z.shape == (401, 3) and layer.is_joined and not layer.is_normal
    np.testing.assert_array_equal(layer.decode(z).mean, picture(given))
    x = DATA.heldout.x(np.arange(5))
    np.testing.assert_array_equal(
        layer.points(x), jnp.c_[jnp.zeros((5, 2)), x["label"]]
    )
    assert layer.moments(x)[0].shape == (5, 2)
    found = with_every_label(layer, layer.points(x), np.array([2, 0, 1]))
    wanted = np.broadcast_to(picture(jnp.array([2, 0, 1])), found.shape)
    np.testing.assert_array_equal(found, wanted)


def test_an_unconditional_model_is_told_what_is_missing():
    class Unconditional(Painter):
        conditions_on = None

    why: dict[str, str] = {}
    measures.measure(
        ["conditional"],
        Trained(Unconditional(), {}),
        DATA,
        KEY,
        on_undefined=why.__setitem__,
    )
    assert "model.condition=label" in why["conditional"]


class Shifted(nn.Module):
    """The exact linear model, its images moved by their labels."""

    conditions_on = "label"

    def decode(self, codes, given=None):
        normal = lg.decode(self.variables["params"], codes[0])
        return Product({"image": normal.replace(mean=normal.mean + given[:, None])})

    def joint_prior(self, num, given=None):
        assert given.shape == (num,)
        return LayeredPrior(lg.prior(num))


@pytest.mark.slow
def test_annealing_is_of_an_image_given_its_label():
    """With the same key, the chains are those of the image without the label's part."""
    params, few = lg.make_params(), Annealing(num_temperatures=50, num_chains=4)
    label, image = jnp.arange(40) % 3, lg.draw_x(params, 40)
    x = {"image": image + label[:, None], "label": label}
    trained = Trained(Shifted(), params)
    found = ais.annealed_likelihood(trained, x, KEY, few, batch_size=40)
    expected = ais.annealed_likelihood(linear_model(params), image, KEY, few)
    np.testing.assert_allclose(found["log_px"], expected["log_px"], rtol=1e-3)
    both = ais.bounds_on_simulated(trained, 40, KEY, few, given=label, batch_size=40)
    np.testing.assert_array_equal(both["x"]["label"], label)
    log_px = exact(both["x"]["image"] - np.asarray(label)[:, None])
    assert both["lower"].mean() < log_px.mean() < both["upper"].mean()
    assert (both["upper"] - both["lower"]).mean() < 1
