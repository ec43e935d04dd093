"""The ladder variational autoencoder: bottom-up evidence joins the prior on its way."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.distributions.normal import DiagonalNormal
from vae_jax.errors import ConfigError
from vae_jax.models.base import call_part
from vae_jax.models.hierarchical import HierarchicalVAE
from vae_jax.outputs import Latent
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.ranges import COUNT, MAX_LAYERS, require, require_widths
from vae_jax.types import Examples, Key


class LadderVAE(HierarchicalVAE):
    """L latent layers whose posterior is inferred from the top down.

    On the way up there is nothing random: `encoders[l]` maps the features of the layer
    below (x for l = 0) to those of layer l + 1, and `encoder_heads[l]` maps these to
    evidence about z_{l+1}, a `DiagonalNormal`. On the way down the evidence is
    multiplied by the prior that the draw above gives, see `product`:

        q(z_l | x, z_{l+1}) ~ evidence_l(x) p(z_l | z_{l+1}),

    and q(z_L | x) is the evidence alone. Posterior and prior of a layer depend on the
    same draws above, so every KL has a closed form. `prior` and `decoders` are those of
    a `HierarchicalVAE`.

    Source: Sonderby et al. 2016, arXiv:1602.02282, equations 6 to 12.
    """

    encoder_heads: Sequence[nn.Module] = ()

    def encode(self, x: Examples, key: Key, train: bool = False) -> tuple[Latent, ...]:
        """The L latent layers, z1 first."""
        features, evidence = x, []
        for encoder, head in zip(self.encoders, self.encoder_heads, strict=True):
            features = call_part(encoder, features, train=train)
            evidence.append(call_part(head, features, train=train))
        keys = jax.random.split(key, len(evidence))
        z = evidence[-1].sample(keys[-1])
        latents = [Latent(z, evidence[-1], self.prior(z.shape[0]))]
        below = zip(evidence[:-1], self.decoders[1:], keys[:-1], strict=True)
        for found, decoder, layer_key in reversed(list(below)):
            prior = call_part(decoder, z, train=train)
            posterior = product(found, prior)
            z = posterior.sample(layer_key)
            latents.insert(0, Latent(z, posterior, prior))
        return tuple(latents)


def product(a: DiagonalNormal, b: DiagonalNormal) -> DiagonalNormal:
    """The normal whose density is proportional to the product of two densities.

    Precisions add, and the mean is that of the means weighted by them; computed from
    log standard deviations, so that nothing overflows.

    Args:
        a: a normal, fields [B, ...].
        b: another, of the same shape.

    Returns:
        The product, fields [B, ...].
    """
    share = jax.nn.sigmoid(2.0 * (b.log_std - a.log_std))  # of a in the precision
    return DiagonalNormal(
        mean=b.mean + share * (a.mean - b.mean),
        log_std=-0.5 * jnp.logaddexp(-2.0 * a.log_std, -2.0 * b.log_std),
    )


def ladder_vae(
    *,
    features: nn.Module,
    decoder: nn.Module,
    make_prior: Callable[[int], nn.Module],
    make_mlp: Callable[..., nn.Module],
    latent_dim: int,
    latent_dims: Sequence[int],
    hidden_dims: Sequence[int],
    num_hidden: int = 2,
    norm: str = "none",
) -> LadderVAE:
    """A `LadderVAE` with a multilayer perceptron between every two latent layers.

    Args:
        features: x -> features, below the first latent layer.
        decoder: z1 -> p(x | z1).
        make_prior: number of dimensions -> p(zL).
        make_mlp: (widths of layers, norm) -> network.
        latent_dim: dimensions of z1.
        latent_dims: dimensions of z2, ..., zL.
        hidden_dims: widths of the networks below each of these, from z2 upwards.
        num_hidden: dense layers of each of these networks.
        norm: their normalisation, one of `networks.mlp.NORMS`.

    Returns:
        The ladder.

    Raises:
        ConfigError: a number of dimensions is not valid, there are too many layers, or
            there are not as many widths as latent layers.
    """
    require_widths(least=1, latent_dims=latent_dims)
    require_widths(hidden_dims=hidden_dims)
    require(COUNT, num_hidden=num_hidden)
    if len(hidden_dims) != len(latent_dims):
        raise ConfigError(
            f"hidden_dims={tuple(hidden_dims)!r}: must be {len(latent_dims)} widths,"
            f" one for each of latent_dims={tuple(latent_dims)!r}"
        )
    made = 2 * len(latent_dims) * num_hidden
    if made > MAX_LAYERS:
        raise ConfigError(
            f"num_hidden={num_hidden} makes {made} layers with {len(latent_dims)}"
            f" latent_dims: each is compiled on its own, so there may be at most"
            f" {MAX_LAYERS}"
        )
    dims = (latent_dim, *latent_dims)
    networks = [(width,) * num_hidden for width in hidden_dims]

    def below(widths: Sequence[int], dim: int) -> nn.Module:
        """z_{l+1} -> p(z_l | z_{l+1})."""
        return nn.Sequential([make_mlp(widths, norm), DiagonalNormalPosterior(dim)])

    return LadderVAE(
        encoders=[features, *(make_mlp(widths, norm) for widths in networks)],
        encoder_heads=[DiagonalNormalPosterior(dim) for dim in dims],
        prior=make_prior(dims[-1]),
        decoders=[decoder, *map(below, networks, dims[:-1])],
    )
