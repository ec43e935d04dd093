"""From a model and data of any form to the numbers that describe it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vae_jax.errors import ContractError, DataError
from vae_jax.evaluation.latents import summarize
from vae_jax.evaluation.likelihood import evaluate_examples
from vae_jax.outputs import VAEOutput
from vae_jax.training.arguments import check_one_key
from vae_jax.training.checks import check_output, check_support
from vae_jax.training.functions import model_functions
from vae_jax.training.state import Learned, TrainState, Variables
from vae_jax.types import AnyArray, Examples, Hparams, Key, Params


def evaluate(
    model: Any,
    params: Params,
    x: Examples,
    key: Key,
    *,
    hparams: Hparams | None = None,
    num_samples: int = 100,
    batch_size: int | None = None,
    sample_chunk: int = 50,
) -> dict[str, Any]:
    """ELBO, NLL and a summary of the latents, averaged over examples.

    A second call for an equal module compiles nothing. Under `jax.jit` and `jax.vmap`,
    for example over the members of an ensemble, the numbers are arrays:

        jax.vmap(lambda params: evaluate(model, params, x, key))(states.eval_params)

    For numbers by example, or to see progress, call `likelihood.evaluate_examples`.

    Args:
        model: a Flax module whose `__call__(x, key)` returns a VAEOutput, or what else
            `training.functions.model_functions` takes.
        params: parameters of the model; `state.eval_variables` of a trained state.
        x: N examples as the model takes them: an array [N, ...] or a pytree of them.
        key: random key for the draws.
        hparams: hyperparameters for a model whose `__call__` takes `hparams`.
        num_samples: K of the importance-weighted bound.
        batch_size: examples at a time, see `likelihood.evaluate_examples`.
        sample_chunk: samples at a time.

    Returns:
        Floats, in nats per example where they have a unit: `elbo`, `rate`,
        `distortion`, `nll` (minus the bound of log p(x) with `nll_num_samples`
        samples) and its `nll_standard_error`, `effective_sample_size`,
        `bits_per_dim` (None unless x is one array of binary or 8-bit pixels),
        `active_units` and `posterior_variance`. What a model does not define is None:
        a plain autoencoder has no rate, ELBO or NLL.

    Raises:
        ConfigError: num_samples, batch_size or sample_chunk is below 1, or no whole
            number.
        ContractError: the model's output does not fit x, or params are none of a model.
        DataError: x is empty, or holds values outside the likelihood's support.
    """
    check_one_key(key)
    leaves = jax.tree.leaves(x)
    if not leaves or not len(leaves[0]):
        raise DataError("x: there are no examples in it to evaluate")
    if isinstance(params, TrainState | Learned):
        raise ContractError(
            f"params is a {type(params).__name__}: give state.eval_variables of a"
            " TrainState, the model's parameters together with its state"
        )
    bound = _Bound(model, params, hparams)
    output = jax.eval_shape(_apply, bound, x, key)
    check_output(output, x)
    check_support(output.likelihood, x)
    statistics = evaluate_examples(
        _apply,
        bound,
        lambda rows: jax.tree.map(lambda leaf: _rows_of(leaf, rows), x),
        len(leaves[0]),
        key,
        num_samples=num_samples,
        batch_size=batch_size,
        sample_chunk=sample_chunk,
    )
    return summarize(
        statistics,
        num_pixels=int(np.prod(leaves[0].shape[1:])),
        support=output.likelihood.support,
        dequantized=False,
        num_samples=num_samples,
    )


def _rows_of(leaf: AnyArray, rows: AnyArray) -> AnyArray:
    """Some rows of an array, of which a NumPy one is no part of what JAX traces."""
    return (jnp.asarray(leaf) if isinstance(rows, jax.core.Tracer) else leaf)[rows]


@struct.dataclass
class _Bound:
    """A model with its variables: what is compiled for it serves equal ones, too."""

    model: Any = struct.field(pytree_node=False)
    variables: Params | Variables
    hparams: Hparams | None


def _apply(bound: _Bound, x: Examples, key: Key) -> VAEOutput:
    functions = model_functions(bound.model, bound.hparams)
    return functions.apply(bound.variables, x, key)
