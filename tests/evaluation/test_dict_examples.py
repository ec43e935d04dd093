"""A model whose x is a dict has the numbers of the same model of images alone."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation.test_measures import (
    HELDOUT,
    KEY,
    TRAIN,
    WEIGHT,
    Linear,
    of_arrays,
)
from vae_jax.distributions.tabular import Product
from vae_jax.evaluation import measures
from vae_jax.evaluation.annealing import Annealing
from vae_jax.evaluation.data import Data, Split
from vae_jax.evaluation.measures import Effort
from vae_jax.outputs import VAEOutput
from vae_jax.trained import Trained

NAMES = ("likelihood", "regularity", "misleading", "annealing")
SMALL = Effort(num_samples=3, annealing=Annealing(3, 2, 2), num_annealed=4)
FEW = TRAIN[:300], HELDOUT[:100]


class OfImages(Linear):
    """The linear model as one can be trained."""

    def __call__(self, x, key):
        latents = self.encode(x, key)
        return VAEOutput(self.decode((latents[0].z,)), latents)


class OfDicts(OfImages):
    """The same, of examples that also have factors, which it does not look at."""

    def encode(self, x, key):
        return super().encode(x["image"], key)

    def decode(self, codes, given=None):
        return Product({"image": super().decode(codes)})


def of_dicts(x) -> Split:
    factors = jnp.zeros((len(x), 5), jnp.int32)  # in a dict, they come before images
    return Split(
        lambda rows: {"factors": factors[rows], "image": x[rows]}, np.arange(len(x))
    )


def labelled(data: Data) -> Data:
    """With labels: which side of 0 an image lies on, along the first row."""

    def of(split: Split, x) -> Split:
        classes = np.asarray(x.reshape(len(x), -1) @ WEIGHT[0] > 0).astype(np.int32)
        return dataclasses.replace(split, classes=classes)

    train, heldout = of(data.train, FEW[0]), of(data.heldout, FEW[1])
    return Data(train, heldout, num_classes=2, classifier_key=KEY)


@pytest.mark.slow
def test_measures_take_a_dict():
    found = []
    for model, of in ((OfDicts, of_dicts), (OfImages, of_arrays)):
        trained = Trained(model(), {"weight": WEIGHT})
        data = labelled(Data(*map(of, FEW)))
        numbers = measures.measure(NAMES, trained, data, KEY, SMALL)
        found.append({k: v for k, v in numbers.items() if v is not None})
    numbers, expected = found
    # A draw of an image is no x for an encoder of dicts, and simulated images are drawn
    # with another key.
    assert expected.keys() - numbers.keys() == {"round_trip", "round_trip_inside"}
    same = {k: v for k, v in numbers.items() if not k.startswith("simulated")}
    assert same == pytest.approx({k: expected[k] for k in same}, rel=1e-4, abs=1e-5)


def test_pixels_of_a_dict_are_those_of_its_image():
    """The likelihood of binary images has bits per dimension in a dict, too."""
    x = jnp.round(jnp.clip(HELDOUT[:20], 0, 1))
    model = OfDicts("binary")
    trained = Trained(model, {"weight": WEIGHT})
    data = Data(of_dicts(x), of_dicts(x))
    numbers = measures.measure(["likelihood"], trained, data, KEY, SMALL)
    bits = numbers["nll"] / (6 * math.log(2))
    assert numbers["bits_per_dim"] == pytest.approx(bits)
