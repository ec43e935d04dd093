"""A small classifier trained on the spot, to judge samples with."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from vae_jax.networks.mlp import MLPEncoder
from vae_jax.types import Array, Key, Params


class _Network(nn.Module):
    num_classes: int
    hidden_dims: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [B, ...] -> logits [B, num_classes]
        return nn.Dense(self.num_classes)(MLPEncoder(self.hidden_dims)(x))


@struct.dataclass
class Classifier:
    """Fitted network."""

    params: Params
    num_classes: int = struct.field(pytree_node=False)
    hidden_dims: tuple[int, ...] = struct.field(pytree_node=False)

    def probabilities(self, x: Array) -> Array:
        """P(label | x), [B, ...] -> [B, num_classes]."""
        network = _Network(self.num_classes, self.hidden_dims)
        return jax.nn.softmax(network.apply({"params": self.params}, x))

    def accuracy(self, x: Array, labels: Array) -> Array:
        """Share of rows whose most probable label is the right one."""
        return (self.probabilities(x).argmax(axis=1) == labels).mean()


@functools.partial(
    jax.jit,
    static_argnames=("num_classes", "hidden_dims", "num_steps", "batch_size"),
)
def fit_classifier(
    x: Array,
    labels: Array,
    key: Key,
    *,
    num_classes: int,
    hidden_dims: tuple[int, ...] = (128,),
    num_steps: int = 1000,
    batch_size: int = 256,
) -> Classifier:
    init_key, row_key = jax.random.split(key)
    network = _Network(num_classes, hidden_dims)
    params = network.init(init_key, x[:1])["params"]
    tx = optax.adam(optax.cosine_decay_schedule(2e-3, num_steps))

    def loss_fn(params: Params, rows: Array) -> Array:
        logits = network.apply({"params": params}, x[rows])
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, labels[rows]
        ).mean()

    def step(carry, step_key):
        params, opt_state = carry
        rows = jax.random.randint(step_key, (batch_size,), 0, x.shape[0])
        grads = jax.grad(loss_fn)(params, rows)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    keys = jax.random.split(row_key, num_steps)
    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), keys)
    return Classifier(params, num_classes, hidden_dims)
