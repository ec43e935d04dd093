"""Numbers of the literature that rank models wrongly, for who wants to compare them."""

import jax

from vae_jax.evaluation import completeness
from vae_jax.evaluation.data import Data
from vae_jax.evaluation.first_layer import FirstLayer
from vae_jax.evaluation.measures import regularity
from vae_jax.evaluation.measures.base import Effort, Measure, Numbers, finite
from vae_jax.quantities import SHARE, Group, Quantity, one
from vae_jax.trained import Trained
from vae_jax.types import Key, stream

MISLEADING = Group(
    "What misleads",
    "Here on draws, where these numbers rank weights as coverage does.",
    drawn=False,
)
QUANTITIES = (
    Quantity(
        "Density",
        "How many neighbourhoods of held-out images a draw lies in, over 5. Misleads:"
        " it rewards draws that are all alike.",
        one("density"),
        MISLEADING,
        "0 or more",
    ),
    Quantity(
        "Precision",
        "Share of draws in any such neighbourhood. Misleads in the same way.",
        one("precision"),
        MISLEADING,
        SHARE,
    ),
    Quantity(
        "Recall",
        "Share of held-out images near a draw. Misleads: it rewards noise.",
        one("recall"),
        MISLEADING,
        SHARE,
    ),
)


def run(trained: Trained, data: Data, key: Key, effort: Effort) -> Numbers:
    """`completeness.mislead` of the same draws from the prior as in `regularity`."""
    key = stream(key, "regularity")
    layer = FirstLayer.of_split(trained, data.heldout)
    train, heldout = regularity.images_to_compare(data)
    given = layer.given_as_in(data.train, len(heldout))
    z = layer.prior(len(heldout), given).sample(stream(key, "z"))
    likelihood = jax.eval_shape(layer.decode, z)
    if not likelihood.normalized:
        return {}
    regularity.refuse_grey(likelihood, heldout)
    fake = completeness.draw(layer.decode, z, stream(key, "x"))
    numbers = completeness.mislead(completeness.real_images(heldout, train), fake)
    return {name: finite(value) for name, value in numbers.items()}


MEASURE = Measure(run, QUANTITIES, regularity.why_not)
