"""Discrete codes one site after the other: p(c) = prod_s p(c_s | c_1, ..., c_{s-1})."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vae_jax.distributions.quantized import Quantized, index_of
from vae_jax.errors import ConfigError
from vae_jax.evaluation.chunks import Progress, map_chunks
from vae_jax.fitted import training
from vae_jax.fitted.base import Draws
from vae_jax.fitted.transformer import CausalTransformer
from vae_jax.ranges import COUNT, LAYERS, POSITIVE, require
from vae_jax.types import Array, Key, Params, PyTree

BATCH_SIZE = 64
NUM_HEADS = 4
ROWS_PER_CHUNK = 256
MAX_NORM = 1.0  # of a gradient


@struct.dataclass
class Autoregressive:
    """A transformer over the sites of a code in raster order: a `FittedPrior`."""

    params: Params
    codebook: Array  # [C, d]
    network: CausalTransformer = struct.field(pytree_node=False)
    shape: tuple[int, ...] = struct.field(pytree_node=False)  # of one code: sites, d

    support: ClassVar[str] = Quantized.support

    def index(self, z: Array) -> Array:
        """Which code is at each site, [B, ..., d] -> [B, S]."""
        return index_of(z, self.codebook).reshape(z.shape[0], -1)

    def logits(self, index: Array) -> Array:
        """Of the code at each site given those before it, [B, S] -> [B, S, C]."""
        first = jnp.full_like(index[:, :1], self.network.num_codes)
        before = jnp.concatenate([first, index[:, :-1]], axis=1)
        sites = jnp.arange(self.network.num_sites)
        logits: Any = self.network.apply({"params": self.params}, before, sites)
        return logits

    def log_prob_of_index(self, index: Array) -> Array:
        """log p(c), nats, [B, S] -> [B]."""
        costs = optax.softmax_cross_entropy_with_integer_labels(
            self.logits(index), index
        )
        return -costs.sum(axis=1)

    def log_prob(self, z: Array) -> Array:
        """Nats, [B, ..., d] -> [B]; z is made of codes."""
        return map_chunks(self.log_prob_of_index, self.index(z), ROWS_PER_CHUNK)

    def sample(self, key: Key, num: int, temperature: float = 1.0) -> Array:
        """Draws, [num, ..., d], site by site.

        Logits are divided by the temperature; at 0 the likeliest code is taken.
        """
        if num <= ROWS_PER_CHUNK:
            index = self._draw(key, num, temperature)
        else:
            keys = jax.random.split(key, -(-num // ROWS_PER_CHUNK))
            drawn = jax.lax.map(
                lambda key: self._draw(key, ROWS_PER_CHUNK, temperature), keys
            )
            index = drawn.reshape(-1, self.network.num_sites)[:num]
        return self.codebook[index].reshape(num, *self.shape)

    def _draw(self, key: Key, num: int, temperature: float) -> Array:
        """Indices of draws, [num, S]."""
        network = self.network.clone(one_by_one=True)
        sites = jnp.arange(network.num_sites)
        # A call with all sites says how large the cache is; it computes nothing.
        whole = jnp.zeros((num, network.num_sites), jnp.int32)
        shapes = jax.eval_shape(network.init, jax.random.key(0), whole, sites)["cache"]
        cache = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def one_site(
            carry: tuple[PyTree, Array], site: Array
        ) -> tuple[tuple[PyTree, Array], Array]:
            cache, before = carry
            variables = {"params": self.params, "cache": cache}
            logits, changed = network.apply(
                variables, before[:, None], site[None], mutable="cache"
            )
            noise = jax.random.gumbel(jax.random.fold_in(key, site), logits.shape)
            # The largest of logits / temperature + noise, without a division by 0.
            code = (logits + temperature * noise)[:, 0].argmax(axis=1)
            code = code.astype(jnp.int32)
            return (changed["cache"], code), code

        first = jnp.full(num, network.num_codes, jnp.int32)
        _, codes = jax.lax.scan(one_site, (cache, first), sites)
        return codes.T


def like(
    draws: Draws, key: Key, num_layers: int = 4, width: int = 128, **others: float
) -> Autoregressive:
    """The prior with the network's first parameters."""
    assert draws.codebook is not None
    num_codes, num_numbers = draws.codebook.shape
    num_sites = draws.dim // num_numbers
    network = CausalTransformer(num_codes, num_sites, num_layers, width, NUM_HEADS)
    before, sites = jnp.zeros((1, num_sites), jnp.int32), jnp.arange(num_sites)
    params = jax.jit(network.init)(key, before, sites)["params"]
    return Autoregressive(params, draws.codebook, network, draws.shape)


def fit(
    draws: Draws,
    key: Key,
    progress: Progress | None = None,
    num_layers: int = 4,
    width: int = 128,
    num_steps: int = 3_000,
    learning_rate: float = 1e-3,
) -> Autoregressive:
    """Minimises the cross-entropy of the training codes, with AdamW.

    The learning rate rises for a tenth of the steps and then falls to 0 along a cosine;
    gradients are cut off at a norm of 1; the parameters of the best cross-entropy of
    the validation codes are kept. Source: van den Oord et al. 2017, arXiv:1711.00937,
    section 4, who fit an autoregressive prior after the model.

    Args:
        draws: the codes, with their codebook.
        key: random key for the start and the order.
        progress: called with (steps done, num_steps).
        num_layers: blocks of the transformer.
        width: its width, a multiple of 4, the number of heads.
        num_steps: updates, each on 64 codes.
        learning_rate: AdamW's, at its highest.

    Raises:
        ConfigError: a setting is out of its range.
    """
    require(LAYERS, num_layers=num_layers)
    require(COUNT, width=width, num_steps=num_steps)
    require(POSITIVE, learning_rate=learning_rate)
    if width % NUM_HEADS:
        raise ConfigError(
            f"width={width}: must be a multiple of {NUM_HEADS}, the number of heads"
        )
    prior = like(draws, key, num_layers, width)

    def log_prob(params: Params, index: Array) -> Array:
        return dataclasses.replace(prior, params=params).log_prob_of_index(index)

    rate = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, -(-num_steps // 10), max(num_steps, 2)
    )
    tx = optax.chain(optax.clip_by_global_norm(MAX_NORM), optax.adamw(rate))
    learner = training.maximum_likelihood(prior.params, log_prob, tx)
    params = training.train(
        learner,
        _indices(prior, draws.train),
        _indices(prior, draws.validation),
        key,
        num_steps,
        BATCH_SIZE,
        progress,
    )
    return dataclasses.replace(prior, params=params)


def _indices(prior: Autoregressive, codes: Array) -> Array:
    """Indices of all codes of a split, [N, S], a few of them at a time."""
    return jax.jit(lambda z: map_chunks(prior.index, z, ROWS_PER_CHUNK))(codes)
