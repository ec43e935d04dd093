"""From encoder features to a vector at each site, which is then quantised."""

import flax.linen as nn

from vae_jax.errors import ConfigError
from vae_jax.types import Array

MAX_CODES = 2**16  # a codebook is an array that is compared with every vector


def vectors_at_sites(features: Array, num_sites: int, size: int) -> Array:
    """Linear maps of the features, for use inside a module's `__call__`.

    Args:
        features: [B, F], or [B, h, w, F] where each of h x w places is a site.
        num_sites: S, the number of sites made of features without places.
        size: d, the numbers of a vector.

    Returns:
        [B, S, d], or [B, h, w, d].
    """
    if features.ndim > 2:
        return nn.Dense(size, name="vectors")(features)
    vectors = nn.Dense(num_sites * size, name="vectors")(features)
    return vectors.reshape(-1, num_sites, size)


def require_few_codes(argument: str, value: object, num_codes: int) -> None:
    """Raises a ConfigError for an argument that makes more than `MAX_CODES` codes."""
    if num_codes > MAX_CODES:
        makes = num_codes if num_codes < 2**64 else "more than 2^64"
        raise ConfigError(
            f"{argument}={value!r}: must make at most {MAX_CODES} codes, and makes"
            f" {makes}"
        )
