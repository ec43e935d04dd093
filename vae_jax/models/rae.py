"""The regularised autoencoder: a smooth decoder in the place of noise in the code."""

import dataclasses
from typing import Any, ClassVar

import jax

from vae_jax.distributions.base import flatten_event
from vae_jax.models.vae import VAE
from vae_jax.outputs import VAEOutput
from vae_jax.types import Array, Examples, Key, stream


class RAE(VAE):
    """A `VAE` that also measures how steep its decoder is where its codes are.

    `output.extras["gradient_penalty"]` is the squared Frobenius norm of the decoder's
    Jacobian, |dm/dz|^2 with m the mean of p(x | z), estimated without bias by one
    product with random signs v: E_v |J^T v|^2. `objectives.regularized` makes it part
    of a loss. Meant for a `DeterministicPosterior`.

    Source: Ghosh et al. 2020, arXiv:1903.12436, section 3 ("RAE-GP"); the estimate is
    that of Hutchinson 1990.
    """

    gives_extras: ClassVar[tuple[str, ...]] = ("gradient_penalty",)

    def __call__(self, x: Examples, key: Key, train: bool = False) -> VAEOutput:
        """Encodes, decodes and measures the decoder, see `VAE.__call__`."""
        output = super().__call__(x, key, train)
        # As a pure function, and so as in evaluation: without dropout, with running
        # averages. The second forward pass is the first one for the compiler.
        unbound: Any = self.decoder.unbind()
        decoder, variables = unbound

        def mean_of(z: Array) -> Array:
            return decoder.apply(variables, z).mean

        mean, pull_back = jax.vjp(mean_of, output.latents[0].z)
        signs = jax.random.rademacher(stream(key, "signs"), mean.shape, mean.dtype)
        (by_z,) = pull_back(signs)
        penalty = (flatten_event(by_z) ** 2).sum(axis=1)
        return dataclasses.replace(output, extras={"gradient_penalty": penalty})
