"""A small classifier, trained on the spot to judge samples with."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from vae_jax.evaluation.chunks import map_chunks
from vae_jax.networks.mlp import MLPEncoder
from vae_jax.types import Array, Key, Params

CONFIDENT = 0.95  # probability from which a label counts
ROWS_PER_CHUNK = 1000
LEARNING_RATE, BATCH_SIZE = 2e-3, 256


class _Network(nn.Module):
    num_classes: int
    hidden_dims: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [B, ...] -> logits [B, num_classes]
        return nn.Dense(self.num_classes)(MLPEncoder(self.hidden_dims)(x))


@struct.dataclass
class Classifier:
    """A trained network, from `fit_classifier`."""

    params: Params
    accuracy: Array  # on the held-out rows, []
    shift: Array | float  # [1, ...] or 0: a row x is given to the network as
    scale: Array | float  # (x - shift) / scale
    num_classes: int = struct.field(pytree_node=False)
    hidden_dims: tuple[int, ...] = struct.field(pytree_node=False)

    def probabilities(self, x: Array) -> Array:
        """P(label | x), [B, ...] -> [B, num_classes]."""
        network = _Network(self.num_classes, self.hidden_dims)

        def one_chunk(rows: Array) -> Array:
            rows = (rows - self.shift) / self.scale
            logits: Any = network.apply({"params": self.params}, rows)
            return jax.nn.softmax(logits)

        return map_chunks(one_chunk, x, ROWS_PER_CHUNK)


@functools.partial(
    jax.jit,
    static_argnames=("num_classes", "standardize", "hidden_dims", "num_steps"),
)
def fit_classifier(
    x: Array,
    labels: Array,
    heldout_x: Array,
    heldout_labels: Array,
    key: Key,
    *,
    num_classes: int,
    standardize: bool = False,
    hidden_dims: tuple[int, ...] = (128,),
    num_steps: int = 1000,
) -> Classifier:
    """Trains an MLP with cross-entropy and Adam, all steps in one compiled program.

    The learning rate falls from 0.002 to 0 along a cosine; rows are drawn with
    replacement.

    Args:
        x: training rows, [N, ...]; numbers of about unit size, or else `standardize`.
        labels: 0, ..., num_classes - 1, int, [N].
        heldout_x: rows that `accuracy` is measured on, [M, ...].
        heldout_labels: their labels, [M].
        key: random key for the weights and the order.
        num_classes: how many labels there are.
        standardize: whether the network is given numbers less their mean over the
            training rows, as multiples of their standard deviation.
        hidden_dims: widths of the hidden layers.
        num_steps: updates, each on 256 rows.

    Returns:
        The classifier with its held-out accuracy.
    """
    init_key, row_key = jax.random.split(key)
    shift: Array | float = 0.0
    scale: Array | float = 1.0
    if standardize:
        std = x.std(axis=0, keepdims=True)
        shift, scale = x.mean(axis=0, keepdims=True), jnp.where(std > 0, std, 1.0)
        x = (x - shift) / scale
    network = _Network(num_classes, hidden_dims)
    params = network.init(init_key, x[:1])["params"]
    tx = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, num_steps))

    def loss_fn(params: Params, rows: Array) -> Array:
        logits = network.apply({"params": params}, x[rows])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
        return losses.mean()

    def step(
        carry: tuple[Params, optax.OptState], step_key: Key
    ) -> tuple[tuple[Params, optax.OptState], None]:
        params, opt_state = carry
        rows = jax.random.randint(step_key, (BATCH_SIZE,), 0, x.shape[0])
        grads = jax.grad(loss_fn)(params, rows)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    keys = jax.random.split(row_key, num_steps)
    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), keys)
    unknown = jnp.full((), jnp.nan)
    untested = Classifier(params, unknown, shift, scale, num_classes, hidden_dims)
    guesses = untested.probabilities(heldout_x).argmax(axis=1)
    accuracy = (guesses == heldout_labels).mean()
    return dataclasses.replace(untested, accuracy=accuracy)


@jax.jit
def label_numbers(classifier: Classifier, x: Array) -> dict[str, Array]:
    """How often a classifier is confident about x, and how varied its labels then are.

    Args:
        classifier: a classifier trained on the data set's labels.
        x: images or draws, [n, ...].

    Returns:
        `confident`, the share of rows with a label of probability 0.95 or more, and
        `label_entropy`, the entropy of those labels in nats: log num_classes if all
        are equally frequent, nan if there is none.
    """
    probabilities = classifier.probabilities(x)
    confident = probabilities.max(axis=1) >= CONFIDENT
    labels = jax.nn.one_hot(probabilities.argmax(axis=1), classifier.num_classes)
    counts = (labels * confident[:, None]).sum(axis=0)
    frequencies = counts / counts.sum()
    return {
        "confident": confident.mean(),
        "label_entropy": jax.scipy.special.entr(frequencies).sum(),
    }
