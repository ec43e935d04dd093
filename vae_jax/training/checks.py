"""Checks that a model, an objective and a batch fit together.

`check_output` and `check_objective` run while JAX traces and add nothing to the
compiled step. `check_support` reads values, once, where training starts.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.tabular import Masked, Product
from vae_jax.errors import ContractError, DataError
from vae_jax.outputs import Latent, SplitOutput, VAEOutput
from vae_jax.types import Array, Examples, Metrics, PyTree

Rule = tuple[Callable[[np.ndarray], np.ndarray], str, str]

# What a value must be, for each `support` of a likelihood, and what to do about it.
SUPPORTS: dict[str, Rule] = {
    "real": (
        np.isfinite,
        "finite",
        "drop such values, or leave them out with tabular.Masked",
    ),
    "unit": (
        lambda v: (v >= 0) & (v <= 1),
        "in [0, 1]",
        "scale the data (8-bit pixels by 1/255), or use NormalLikelihood",
    ),
    "binary": (
        lambda v: (v == 0) | (v == 1),
        "0 or 1",
        "binarise the data, or use ContinuousBernoulliLikelihood for grey values",
    ),
    "8bit": (
        lambda v: (v >= 0) & (v <= 1) & (np.abs(v * 255 - np.round(v * 255)) < 1e-2),
        "multiples of 1/255 in [0, 1]",
        "divide 8-bit pixels by 255 and add no noise",
    ),
    "count": (
        lambda v: (v >= 0) & (v == np.round(v)),
        "0, 1, 2, ...",
        "don't scale counts, or use NormalLikelihood for scaled ones",
    ),
}


RESERVED = ("loss", "grad_norm", "skipped")  # metrics of the step itself


def check_output(output: object, x: Examples) -> None:
    """Raises unless a model's output has the form of the batch it was given.

    Draws of the likelihood must look like x (a part of x that `tabular.Product` does
    not name is not modelled and may have any form), and draws of each posterior and
    prior like the code.

    Args:
        output: what the model returned for x, without a sample axis.
        x: a batch, any pytree.

    Raises:
        ContractError: the first thing that does not fit, with what to change.
    """
    if isinstance(output, SplitOutput):
        output = output.decoder
    if not isinstance(output, VAEOutput):
        raise ContractError(
            f"the model returned {_kind(output)}: it must return"
            " vae_jax.VAEOutput(likelihood, latents)"
        )
    if not isinstance(output.latents, tuple | list) or not output.latents:
        raise ContractError(
            f"VAEOutput.latents is {_kind(output.latents)}: it must be a tuple with one"
            " vae_jax.Latent per layer, (latent,) for one layer"
        )
    for layer, latent in enumerate(output.latents, start=1):
        _check_latent(latent, f"latent layer {layer}")
    _check_facts(output.likelihood, "the likelihood")
    drawn = _draw_of(output.likelihood)
    _check_likelihood(drawn, x, "x")
    _check_log_prob(
        output.likelihood, drawn, output.latents[0].z.shape[0], "the likelihood"
    )


def check_objective(result: object) -> tuple[Array, Metrics]:
    """Raises unless an objective returned `(loss, metrics)`, and passes it on.

    Args:
        result: what the objective returned.

    Returns:
        The loss, a scalar, and the metrics.

    Raises:
        ContractError: it is not such a pair.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise ContractError(
            f"the objective returned {_kind(result)}: it must return (loss, metrics)"
        )
    loss, metrics = result
    is_number = getattr(loss, "shape", None) == ()
    if not is_number or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ContractError(
            f"the objective's loss is {_kind(loss)}: it must be one floating-point"
            " number; average it over examples and samples, as in loss.mean()"
        )
    if not isinstance(metrics, Mapping):
        raise ContractError(
            f"the objective's metrics are {_kind(metrics)}: they must be a dict of"
            " arrays, {} for none"
        )
    for name in RESERVED:
        if name in metrics:
            raise ContractError(
                f"the objective's metrics have the name {name!r}, which the step"
                " uses for a number of its own: give the metric another name"
            )
    return loss, jax.tree.map(jnp.asarray, dict(metrics))


def check_support(likelihood: Any, x: Examples, name: str = "x") -> None:
    """Raises if a likelihood gives some value of x no probability at all.

    Args:
        likelihood: p(x | z); its arrays may be shapes only, as from `jax.eval_shape`.
        x: a batch; arrays that are being traced or lie on another host have no values
            here and are not checked.
        name: name of x in the message.

    Raises:
        DataError: names the first such value, its place, and what to change.
    """
    if isinstance(likelihood, Product):
        for part, distribution in likelihood.parts.items():
            check_support(distribution, x[part], f"{name}[{part!r}]")
        return
    observed = None
    if isinstance(likelihood, Masked):
        likelihood, observed, x = likelihood.base, x["observed"], x["value"]
        name = f"{name}['value']"
    support = likelihood.support
    if support == "class" and hasattr(likelihood, "logits"):
        count = likelihood.logits.shape[-1]
        rule: Rule = (
            lambda v: (v >= 0) & (v < count) & (v == np.round(v)),
            f"one of the classes 0, ..., {count - 1}",
            f"number the classes from 0, or set num_classes={count} higher",
        )
    elif support in SUPPORTS:
        rule = SUPPORTS[support]
    else:
        return  # a distribution of the caller's own
    if not _is_array(x):
        return  # the part of x that it models is not known
    if not _has_values(x) or not (observed is None or _has_values(observed)):
        return
    values = np.asarray(x)
    is_possible, possible, advice = rule
    wrong = ~is_possible(values)
    if observed is not None:
        seen = np.asarray(observed, bool)
        wrong &= seen.reshape(*seen.shape, *[1] * (values.ndim - 2))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}{list(place)} is {values[place]}, where {type(likelihood).__name__}"
            f" needs values that are {possible}: {advice}"
        )


def _check_latent(latent: object, name: str) -> None:
    if not isinstance(latent, Latent):
        raise ContractError(
            f"{name} is {_kind(latent)}: it must be vae_jax.Latent(z, posterior, prior)"
        )
    shape = latent.z.shape
    if len(shape) < 2:
        raise ContractError(
            f"{name}: z has the shape {shape}: it must be [B, D] or [B, ...], with the"
            " batch axis first"
        )
    for part in ("posterior", "prior"):
        distribution = getattr(latent, part)
        _check_facts(distribution, f"{name}: the {part}")
        drawn = _draw_of(distribution)
        if drawn is not None and drawn.shape != shape:
            advice = "give the encoder and the prior the same latent_dim"
            if drawn.shape[1:] == shape[1:]:
                advice = "make it for all rows, as in prior(z.shape[0])"
            raise ContractError(
                f"{name}: z has the shape {shape}, but the {part} is for codes of shape"
                f" {drawn.shape}: {advice}"
            )
        _check_log_prob(distribution, drawn, shape[0], f"{name}: the {part}")


def _check_log_prob(
    distribution: Distribution, drawn: PyTree, num: int, name: str
) -> None:
    """Raises unless a log-density has one number for each row of a draw."""
    if drawn is None or not distribution.has_density:
        return
    found = jax.eval_shape(lambda d, x: d.log_prob(x), distribution, drawn)
    if getattr(found, "shape", None) != (num,):
        raise ContractError(
            f"{name}: log_prob of {type(distribution).__name__} is {_kind(found)} for"
            f" {num} rows: it must be [B], summed over all axes but the first"
        )


def _check_facts(distribution: object, name: str) -> None:
    """Raises unless a distribution says what it is."""
    for fact in ("support", "has_density", "normalized"):
        if not hasattr(distribution, fact):
            raise ContractError(
                f"{name} is of type {type(distribution).__name__}, which has no"
                f" {fact!r}: let the class inherit from"
                " vae_jax.distributions.BaseDistribution, which has the usual values"
            )


def _check_likelihood(drawn: PyTree, x: Examples, name: str) -> None:
    """Compares a draw of the likelihood with x, part by part."""
    if drawn is None:
        return
    if not isinstance(x, Mapping) and not _is_array(x):
        _check_tree(drawn, x, name)
        return
    if isinstance(drawn, Mapping) != isinstance(x, Mapping):
        raise ContractError(
            f"{name} is {_kind(x)}, but the likelihood is of {_kind(drawn)}: for a"
            " dict, use tabular.Product, whose names are those of the parts of x that"
            " are modelled"
        )
    if isinstance(drawn, Mapping):
        for part in drawn:
            if part not in x:
                raise ContractError(
                    f"{name} has no part {part!r}, which the likelihood models: its"
                    f" parts are {sorted(x)}"
                )
            _check_likelihood(drawn[part], x[part], f"{name}[{part!r}]")
    elif drawn.shape != jnp.shape(x):
        raise ContractError(
            f"{name} has the shape {jnp.shape(x)}, but the decoder's likelihood is of"
            f" {drawn.shape}: give the decoder output_shape={jnp.shape(x)[1:]} times"
            " the features that the likelihood needs, or reshape the data, whose first"
            " axis is the batch"
        )


def _check_tree(drawn: PyTree, x: Examples, name: str) -> None:
    """The same for an x that is a tuple, a dataclass or another pytree of arrays.

    A draw of another structure is not checked: the caller's own objective may use x in
    any way.
    """
    if jax.tree.structure(x) != jax.tree.structure(drawn):  # type: ignore[operator]
        return
    leaves, _ = jax.tree.flatten_with_path(x)
    for (path, leaf), own in zip(leaves, jax.tree.leaves(drawn), strict=True):
        _check_likelihood(own, leaf, name + jax.tree_util.keystr(path))


def _is_array(x: PyTree) -> bool:
    """Whether x is one array (or a number), not a container of some."""
    return jax.tree_util.treedef_is_leaf(jax.tree.structure(x))


def _draw_of(distribution: Distribution) -> PyTree:
    """Shapes of a draw, or None if the distribution has none."""
    if not distribution.normalized:
        return jax.eval_shape(lambda d: d.mean, distribution)
    if not hasattr(distribution, "sample"):
        return None
    return jax.eval_shape(lambda d: d.sample(jax.random.key(0)), distribution)


def _has_values(leaf: object) -> bool:
    if isinstance(leaf, jax.core.Tracer | jax.ShapeDtypeStruct):
        return False
    return getattr(leaf, "is_fully_addressable", True)


def _kind(value: object) -> str:
    """Description of a value in a message: its type, and its shape if it has one."""
    if isinstance(value, Mapping):
        return f"a dict of {sorted(value)}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"an array of shape {shape}"
