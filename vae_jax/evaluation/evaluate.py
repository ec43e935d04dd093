"""From a trained model and data of any form to the numbers that describe it."""

from typing import Any

import jax
import numpy as np

from vae_jax.errors import DataError
from vae_jax.evaluation.latents import summarize
from vae_jax.evaluation.likelihood import evaluate_images
from vae_jax.training.checks import check_output, check_support
from vae_jax.training.functions import model_functions
from vae_jax.types import Array, Key, Params


def evaluate(
    model: Any,
    params: Params,
    x: Any,
    key: Key,
    *,
    num_samples: int = 100,
    batch_size: int | None = None,
    sample_chunk: int = 50,
) -> dict[str, float | None]:
    """ELBO, NLL and a summary of the latents, averaged over examples.

    For per-example numbers, or to see progress, call `likelihood.evaluate_images`.

    Args:
        model: a Flax module whose `__call__(x, key)` returns a VAEOutput, or a
            `ModelFunctions` pair. For one compilation over several calls, as during
            training, make the pair once with `model_functions(model)`.
        params: of the model; `state.eval_params` of a trained state.
        x: N examples as the model takes them: an array [N, ...] or a pytree of them.
        key: of the draws.
        num_samples: K of the importance-weighted bound.
        batch_size: examples at a time, see `likelihood.evaluate_images`.
        sample_chunk: samples at a time.

    Returns:
        Floats, in nats per example where they have a unit: `elbo`, `rate`,
        `distortion`, `nll` (minus the bound of log p(x) with `nll_num_samples`
        samples) and its `nll_standard_error`, `effective_sample_size`,
        `bits_per_dim` (None unless x is one array of binary or 8-bit pixels),
        `active_units` and `posterior_variance`. What a model does not define is None:
        a plain autoencoder has no rate, ELBO or NLL.

    Raises:
        ConfigError: num_samples, batch_size or sample_chunk is below 1.
        ContractError: the model's output does not fit x.
        DataError: x is empty, or holds values outside the likelihood's support.
    """
    functions = model_functions(model)
    leaves = jax.tree.leaves(x)
    if not leaves or not len(leaves[0]):
        raise DataError("x: there are no examples in it to evaluate")
    output = jax.eval_shape(functions.apply, params, x, key)
    check_output(output, x)
    check_support(output.likelihood, x)
    statistics = evaluate_images(
        functions.apply,
        params,
        x,
        _as_it_is,
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


def _as_it_is(x: Any, rows: Array) -> Any:
    del rows  # no draw of binarisation or noise that would depend on them
    return x
