"""A second VAE, on the codes of the first."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from vae_jax.evaluation.chunks import Progress, map_chunks
from vae_jax.fitted import training
from vae_jax.fitted.base import Draws
from vae_jax.fitted.flow import coloured, whitened
from vae_jax.fitted.mixture import FullMixture, fit_gaussian, log_det
from vae_jax.fitted.mixture import like as like_gaussian
from vae_jax.likelihoods import NormalLikelihood
from vae_jax.models.vae import VAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal
from vae_jax.ranges import COUNT, POSITIVE, require
from vae_jax.trained import Trained
from vae_jax.training.state import TrainState, make_hparams
from vae_jax.training.step import vae_trainer
from vae_jax.types import Array, Key, Params

BATCH_SIZE = 256
NUM_SAMPLES = 64  # K of `SecondVAE.log_prob`
ROWS_PER_CHUNK = 256


@struct.dataclass
class SecondVAE:
    """p(z) = E_u p(z | u) with u ~ N(0, I), of the dimension of z: a `FittedPrior`.

    The second model sees codes with the mean 0 and the covariance I.
    """

    normal: FullMixture  # of one component, with the moments of the codes
    trained: Trained

    support: ClassVar[str] = "real"

    def sample(self, key: Key, num: int, temperature: float = 1.0) -> Array:
        """Draws, [num, ...]; the temperature multiplies the std of u."""
        u_key, noise_key = jax.random.split(key)
        u = self.trained.prior(num).sample(u_key, temperature)
        return coloured(self.normal, self.trained.decode(u).sample(noise_key))

    def log_prob(self, z: Array) -> Array:
        """A lower bound in expectation, nats, [B, ...] -> [B].

        The importance-weighted estimate with 64 draws of q(u | z) whose noise is fixed,
        so that it is a function of z. exp of it has the mean p(z) over that noise.
        """
        x = whitened(self.normal, z)

        def one_row(row: Array) -> Array:
            def one_draw(key: Key) -> Array:
                return self.trained(row[None], key).log_w(row[None])[0]

            keys = jax.random.split(jax.random.key(0), NUM_SAMPLES)
            log_w = jax.vmap(one_draw)(keys)
            return jax.nn.logsumexp(log_w) - jnp.log(NUM_SAMPLES)

        log_prob = map_chunks(jax.vmap(one_row), x, ROWS_PER_CHUNK)
        return log_prob - log_det(self.normal.root[0])


def second_vae(dim: int, width: int) -> VAE:
    """The model of the second stage: perceptrons, and a normal with one learned scale.

    Args:
        dim: numbers of a code, and of u.
        width: hidden units of both hidden layers.
    """
    likelihood = NormalLikelihood(scale="learned")
    features = (likelihood.num_features(dim),)
    return VAE(
        encoder=nn.Sequential(
            [MLPEncoder((width, width)), DiagonalNormalPosterior(dim)]
        ),
        prior=StandardNormal(dim),
        decoder=nn.Sequential([MLPDecoder(features, (width, width)), likelihood]),
    )


def like(draws: Draws, key: Key, width: int = 256, **others: float) -> SecondVAE:
    """The prior with the second model's first parameters."""
    model = second_vae(draws.dim, width)
    params = jax.jit(model.init)(key, jnp.zeros((1, draws.dim)), key)["params"]
    return SecondVAE(like_gaussian(draws, key), Trained(model, params))


def fit(
    draws: Draws,
    key: Key,
    progress: Progress | None = None,
    width: int = 256,
    num_steps: int = 10_000,
    learning_rate: float = 1e-3,
) -> SecondVAE:
    """Trains a VAE on the training codes, with Adam.

    The learning rate falls to 0 along a cosine; the parameters of the best ELBO of the
    validation codes are kept. Source: Dai and Wipf 2019, arXiv:1903.05789, section 4.

    Args:
        draws: the codes.
        key: random key for the start, the order and the draws.
        progress: called with (steps done, num_steps).
        width: hidden units of each of two hidden layers, in encoder and decoder.
        num_steps: updates, each on 256 codes.
        learning_rate: Adam's, at the start.

    Raises:
        ConfigError: a setting is out of its range.
        DataError: all codes are equal.
    """
    require(COUNT, width=width, num_steps=num_steps)
    require(POSITIVE, learning_rate=learning_rate)
    normal = fit_gaussian(draws, key)
    model = second_vae(draws.dim, width)
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    trainer = vae_trainer(model, elbo_loss, tx)
    hparams = make_hparams(kl_weight=1.0)
    z_key = jax.random.key(0)  # the same draws at each evaluation

    def step(state: TrainState, rows: Array, step_key: Key) -> TrainState:
        return trainer.step(state, rows, step_key, hparams)[0]

    def elbo(params: Params, rows: Array) -> Array:
        output = Trained(model, params)(rows, z_key)
        return output.log_lik(rows) - output.rate()

    white = jax.jit(lambda codes: whitened(normal, codes))
    rows = white(draws.train)
    learner = training.Learner(
        state=jax.jit(trainer.init)(key, rows[:1]),
        step=step,
        params=lambda state: state.params.model,
        log_prob=elbo,
    )
    params = training.train(
        learner, rows, white(draws.validation), key, num_steps, BATCH_SIZE, progress
    )
    return SecondVAE(normal, Trained(model, params))
