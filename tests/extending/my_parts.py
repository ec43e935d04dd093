"""One part of every kind, as a user keeps them outside of the repository.

`--import=my_parts` makes them known by the lines at the end. Each is as small as it can
be and still differ from what there is.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

import vae_jax
from vae_jax import likelihoods, models, networks, objectives, posteriors, priors
from vae_jax.data import sources
from vae_jax.data.dataset import Split
from vae_jax.data.source import Loaded, Options, Source
from vae_jax.distributions import BaseDistribution, Bernoulli, Laplace
from vae_jax.evaluation import measures
from vae_jax.evaluation.measures.base import Measure, always
from vae_jax.models.base import LayeredPrior, call_part, refuse_given
from vae_jax.quantities import Group, Quantity

# A data source: images with factors of variation, made up.


def read_stripes(name: str, options: Options) -> Loaded:
    """Stripes of four positions and two directions, with some noise."""
    del name, options
    random = np.random.default_rng(0)
    position, direction = random.integers(4, size=300), random.integers(2, size=300)
    images = np.zeros((300, 8, 8, 1), np.uint8)
    for i, (p, d) in enumerate(zip(position, direction, strict=True)):
        (images[i] if d else images[i].swapaxes(0, 1))[2 * p : 2 * p + 2] = 230
    factors = np.stack([position, direction], axis=1).astype(np.int32)
    return Loaded({"train": Split(images, direction.astype(np.int32), factors)})


# A likelihood with an argument.


class NoisyLikelihood(nn.Module):
    """Binary pixels of which a share has been flipped."""

    flipped: float = 0.1
    support: ClassVar[str] = Bernoulli.support

    def num_features(self, channels: int) -> int:
        """One logit per pixel."""
        return channels

    def __call__(self, features: jax.Array) -> Bernoulli:
        """Features [B, ..., C] -> the distribution of what is seen."""
        p = self.flipped + (1 - 2 * self.flipped) * jax.nn.sigmoid(features)
        return Bernoulli(jnp.log(p) - jnp.log1p(-p))


# A posterior and a prior, with a KL that has no closed form.


@struct.dataclass
class LaplaceCode(Laplace):
    """A Laplace distribution of codes."""

    @property
    def variance(self) -> jax.Array:
        """Of each dimension, [B, D]."""
        return 2 * jnp.exp(2 * self.log_scale)


class LaplacePosterior(nn.Module):
    """q(z | x) = Laplace(mean, exp(log_scale))."""

    latent_dim: int
    distribution: ClassVar[type] = LaplaceCode

    @nn.compact
    def __call__(self, features: jax.Array) -> LaplaceCode:
        """Features [B, F] -> fields [B, D]."""
        return LaplaceCode(
            nn.Dense(self.latent_dim)(features),
            jnp.tanh(nn.Dense(self.latent_dim)(features)),
        )


@struct.dataclass
class Logistic(BaseDistribution):
    """Independent logistic values around 0."""

    scale: jax.Array  # [B, D]

    @property
    def mean(self) -> jax.Array:
        """Zero."""
        return jnp.zeros_like(self.scale)

    def sample(self, key: jax.Array, temperature: float = 1.0) -> jax.Array:
        """One draw per row, [B, D]."""
        return temperature * self.scale * jax.random.logistic(key, self.scale.shape)

    def log_prob(self, x: jax.Array) -> jax.Array:
        """Nats, [B]."""
        z = x / self.scale
        return (-z - 2 * jax.nn.softplus(-z) - jnp.log(self.scale)).sum(axis=1)


class LogisticPrior(nn.Module):
    """p(z), with a learned scale."""

    latent_dim: int

    @nn.compact
    def __call__(self, batch_size: int) -> Logistic:
        """The prior of that many rows."""
        raw = self.param("log_scale", nn.initializers.zeros, (self.latent_dim,))
        scale = jnp.broadcast_to(jnp.exp(raw), (batch_size, self.latent_dim))
        return Logistic(scale)


# A network with an argument.


class SineEncoder(nn.Module):
    """A layer of sines over the flattened image."""

    width: int = 32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, ...] -> features [B, F]."""
        return jnp.sin(nn.Dense(self.width)(x.reshape(x.shape[0], -1)))


class SineDecoder(nn.Module):
    """A layer of sines, then a linear one."""

    output_shape: tuple[int, ...]
    width: int = 32

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """z [B, D] -> [B, *output_shape]."""
        h = jnp.sin(nn.Dense(self.width)(z))
        out = nn.Dense(int(np.prod(self.output_shape)))(h)
        return out.reshape(z.shape[0], *self.output_shape)


# A model with two latent layers, drawn from the top down, and with batch averages.


class Ladder(nn.Module):
    """q(z2 | x) q(z1 | x, z2) and p(z2) p(z1 | z2) p(x | z1)."""

    encoder: nn.Module
    decoder: nn.Module
    prior: nn.Module
    latent_dim: int
    num_layers: ClassVar[int] = 2

    def setup(self) -> None:
        """The parts of the upper layer."""
        self.norm = nn.BatchNorm()
        self.to_top = posteriors.DiagonalNormalPosterior(self.latent_dim)
        self.to_z1 = posteriors.DiagonalNormalPosterior(self.latent_dim)
        self.down = posteriors.DiagonalNormalPosterior(self.latent_dim)

    def encode(self, x: Any, key: jax.Array, train: bool = False) -> Any:
        """The two layers, z1 first."""
        features = call_part(self.encoder, x, train=train).mean
        h = self.norm(features, use_running_average=not train)
        keys = jax.random.split(key)
        q2 = self.to_top(h)
        z2 = q2.sample(keys[0])
        q1 = self.to_z1(jnp.concatenate([h, z2], axis=1))
        z1 = q1.sample(keys[1])
        return (
            vae_jax.Latent(z1, q1, self.down(z2)),
            vae_jax.Latent(z2, q2, self.prior(len(z2))),
        )

    def decode(self, codes: Any, given: Any = None) -> Any:
        """p(x | z1)."""
        refuse_given(self, given)
        return self.decoder(codes[0])

    def joint_prior(self, num: int, given: Any = None) -> LayeredPrior:
        """p(z2) p(z1 | z2)."""
        refuse_given(self, given)
        return LayeredPrior(self.prior(num), [self.down])

    def __call__(self, x: Any, key: jax.Array, train: bool = False) -> Any:
        """Encodes and decodes."""
        latents = self.encode(x, key, train)
        return vae_jax.VAEOutput(self.decode(tuple(lat.z for lat in latents)), latents)


# An objective with a number and a network of its own.

CRITIC = nn.Sequential([nn.Dense(8), nn.tanh, nn.Dense(1)])


def init_critic(key: jax.Array, output: Any) -> Any:
    """The critic's parameters."""
    return CRITIC.init(key, output.latents[0].z[0])["params"]


def deceive(
    params: Any, output: Any, x: Any, hparams: Any, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The ELBO, and codes that a critic can't tell from draws of N(0, I)."""
    loss, metrics = vae_jax.elbo_loss(output, x, hparams)
    z = output.latents[0].z[0]

    def judge(params: Any, z: jax.Array) -> jax.Array:
        return CRITIC.apply({"params": params}, z)

    fooled = nn.softplus(-judge(jax.lax.stop_gradient(params), z)).mean()
    real = judge(params, jax.random.normal(key, z.shape))
    critic = nn.softplus(judge(params, jax.lax.stop_gradient(z))) + nn.softplus(-real)
    loss = vae_jax.with_gradient_of(loss + hparams["push"] * fooled, critic.mean())
    return loss, metrics | {"critic": critic.mean()}


# A measure.

BRIGHTNESS = Quantity(
    "Brightness",
    "Mean pixel of images that are decoded from draws of the prior.",
    {"brightness": "prior"},
    Group("Made up"),
    "0 to 1",
)


def brightness(trained: Any, data: Any, key: jax.Array, effort: Any) -> Any:
    """The mean of 100 images."""
    del data, effort
    return {"brightness": float(trained.sample(key, 100).mean.mean())}


sources.BY_NAME["stripes"] = Source(read_stripes)
likelihoods.BY_NAME["noisy"] = NoisyLikelihood
posteriors.BY_NAME["laplace_code"] = LaplacePosterior
priors.BY_NAME["logistic_code"] = LogisticPrior
networks.BY_NAME["sine"] = networks.Network(SineEncoder, SineDecoder)
models.BY_NAME["my_ladder"] = Ladder
objectives.BY_NAME["deceive"] = lambda: vae_jax.Objective(
    init_critic, deceive, hparams=("kl_weight", "free_nats", "push")
)
measures.BY_NAME["brightness"] = Measure(brightness, (BRIGHTNESS,), always)
