"""A causal transformer over the sites of discrete codes."""

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.networks.dense import DenseOfMaps
from vae_jax.types import Array


class CausalTransformer(nn.Module):
    """Logits of the code at each site, given the codes at the sites before it.

    A site sees its own number and the codes before it; the first sees a token of its
    own in their place. Normalisation comes first in each block, as in Radford et al.
    2019; attention is that of Vaswani et al. 2017, arXiv:1706.03762.

    With `one_by_one` it takes one site per call, in their order, and keeps what later
    sites attend to in the collection "cache". The parameters are the same.
    """

    num_codes: int  # C
    num_sites: int  # S
    num_layers: int = 4
    width: int = 128
    num_heads: int = 4
    one_by_one: bool = False

    @nn.compact
    def __call__(self, before: Array, sites: Array) -> Array:
        """Logits at some sites.

        Args:
            before: the code at the site before each, C for the first site, [B, s] int.
            sites: the numbers of the sites, [s]: all S of them, or one.

        Returns:
            Logits, [B, s, C].
        """
        small = nn.initializers.normal(0.02)
        place = self.param("place", small, (self.num_sites, self.width))
        codes = nn.Embed(self.num_codes + 1, self.width, embedding_init=small)
        h = codes(before) + place[sites][None]
        mask = None if self.one_by_one else nn.make_causal_mask(before)
        for _ in range(self.num_layers):
            attention = nn.MultiHeadDotProductAttention(
                self.num_heads, decode=self.one_by_one
            )
            h = h + attention(nn.LayerNorm()(h), mask=mask)
            inner = nn.gelu(DenseOfMaps(4 * self.width)(nn.LayerNorm()(h)))
            h = h + DenseOfMaps(self.width)(inner)
        return DenseOfMaps(self.num_codes)(nn.LayerNorm()(h)).astype(jnp.float32)
