"""What the pictures of a run are made of."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import DiagonalNormal
from vae_jax.models.base import LayeredPrior
from vae_jax.runs.pictures import MOST_LAYERS, PER_LAYER, layer_samples
from vae_jax.trained import Trained

L = MOST_LAYERS + 1


def near(z: jax.Array) -> DiagonalNormal:
    return DiagonalNormal(z, jnp.zeros_like(z))


class Walk(nn.Module):
    """Each layer is the one above and a step; images show the codes of all layers."""

    def joint_prior(self, num: int, given: Any = None) -> LayeredPrior:
        return LayeredPrior(near(jnp.zeros((num, 1))), [near] * (L - 1))

    def decode(self, codes: Any, given: Any = None) -> DiagonalNormal:
        return near(jnp.stack(codes, axis=1)[..., None])  # [B, L, 1, 1]


def test_rows_share_the_layers_above_and_differ_in_those_below():
    rows = layer_samples(Trained(Walk(), {}), jax.random.key(0))
    numbers = list(rows)
    assert numbers[0] == L and numbers[-1] == 1 and len(numbers) == MOST_LAYERS
    assert numbers == sorted(numbers, reverse=True)
    first = rows[1][0]  # the layers above are the same in all rows
    for number, images in rows.items():
        assert images.shape == (PER_LAYER, L, 1, 1)
        np.testing.assert_array_equal(
            images[:, number:], images[:1, number:].repeat(PER_LAYER, 0)
        )
        np.testing.assert_array_equal(images[0, number:], first[number:])
        below = images[:, :number, 0, 0]
        assert all(len(np.unique(z)) == PER_LAYER for z in below.T)
    drawn = np.stack([rows[n][:, 0] for n in numbers])
    assert len(np.unique(drawn)) == drawn.size  # each row has draws of its own
