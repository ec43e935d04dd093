"""The methods of a model, and what its parts have in common."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.base import Distribution
from vae_jax.errors import ContractError
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.types import AnyArray, Array, Codes, Examples, Given, Key, PyTree

Result = TypeVar("Result")


class JointPrior(Protocol):
    """p(z1, ..., zL) for a given number of rows."""

    @property
    def calls_model(self) -> bool:
        """Whether its methods call parts of the model: possible inside `apply` only."""
        ...

    def sample(
        self, key: Key, temperature: float = 1.0, above: Codes | Array = ()
    ) -> Codes:
        """One draw per row.

        Args:
            key: random key for the draws.
            temperature: multiplies the standard deviations.
            above: codes of the top layers, in the order of all codes: z_l, ..., zL,
                each with as many rows. They are kept, and the layers below are drawn.

        Returns:
            z of each layer, the one next to the data first.

        Raises:
            ContractError: there are more codes above than layers.
        """
        ...

    def log_prob(self, codes: Codes | Array) -> Array:
        """Sum over the layers, nats, [B]."""
        ...


class Model(Protocol):
    """A Flax module that returns a VAEOutput and whose halves can be called alone.

    Training needs `__call__(x, key)` only. The other methods are what evaluation,
    pictures and programs use. `given` is what a conditional model conditions on; None
    elsewhere. Such a model names the part of x that this is by a class attribute, as in
    `conditions_on = "label"`, and `given` is then an array of labels [B]. A model with
    a class among its latent variables is given nothing, but its draws and what it
    decodes can be: `can_be_given = "label"`, and the class is then that label. A model
    whose `decode` needs the codes of all its layers, rather than z1 alone, says so by
    `decodes_all_layers = True`.
    """

    def encode(self, x: Examples, key: Key) -> tuple[Latent, ...]:
        """The latent layers for x, draws included: a layer may look at those above."""
        ...

    def decode(self, codes: Codes, given: Given = None) -> Distribution:
        """p(x | z1, ..., zL)."""
        ...

    def joint_prior(self, num: int, given: Given = None) -> JointPrior:
        """p(z1, ..., zL) for `num` rows; used inside `apply`, see `Trained.prior`."""
        ...

    def __call__(self, x: Examples, key: Key) -> VAEOutput:
        """Encodes and decodes with one draw per example."""
        ...


class LayeredPrior:
    """p(zL) p(z_{L-1} | zL) ... p(z1 | z2), drawn from the top down."""

    def __init__(
        self, top: Distribution, below: Sequence[Callable[[Array], Distribution]] = ()
    ) -> None:
        """Keeps its factors.

        Args:
            top: p(zL).
            below: the functions z2 -> p(z1 | z2), z3 -> p(z2 | z3), ...
        """
        self.top, self.below = top, below

    @property
    def calls_model(self) -> bool:
        """False for one layer."""
        return bool(self.below)

    @property
    def is_factorised(self) -> bool:
        """Whether the dimensions of all codes are independent."""
        return not self.below and getattr(self.top, "is_factorised", False)

    def sample(
        self, key: Key, temperature: float = 1.0, above: Codes | Array = ()
    ) -> Codes:
        """One draw per row, z1 first; see `JointPrior`."""
        above = as_codes(above)
        check_above(above, len(self.below) + 1)
        keys = [key]
        if self.below:
            keys = list(jax.random.split(key, len(self.below) + 1))
        codes = [*above] or [_draw(self.top, keys[0], temperature)]
        for i in range(len(codes), len(keys)):
            conditional = self.below[-i](codes[0])
            codes.insert(0, _draw(conditional, keys[i], temperature))
        return tuple(codes)

    def log_prob(self, codes: Codes | Array) -> Array:
        """Sum over the layers, nats, [B]; one array stands for a tuple of one.

        Raises:
            ContractError: these are not the codes of all layers.
        """
        codes = as_codes(codes)
        check_layers(codes, len(self.below) + 1)
        factors = [f(z) for f, z in zip(self.below, codes[1:], strict=True)]
        pairs = zip([*factors, self.top], codes, strict=True)
        return jnp.stack([p.log_prob(z) for p, z in pairs]).sum(axis=0)


def _draw(distribution: Any, key: Key, temperature: float) -> Array:
    """A draw; a prior whose `sample` takes no temperature supports 1 only."""
    if isinstance(temperature, float | int) and temperature == 1.0:
        return distribution.sample(key)
    if len(inspect.signature(distribution.sample).parameters) < 2:
        raise ContractError(
            f"temperature={temperature}: {type(distribution).__name__}.sample takes no"
            " temperature: leave it at 1, or give it an argument `temperature`"
        )
    return distribution.sample(key, temperature)


def as_codes(codes: Codes | AnyArray) -> Codes:
    """A tuple of codes; one array stands for a tuple of one."""
    if isinstance(codes, tuple | list):
        return tuple(jnp.asarray(z) for z in codes)
    return (jnp.asarray(codes),)


def check_layers(codes: Codes, num_layers: int) -> None:
    """Raises unless there are the codes of every layer.

    Args:
        codes: z of each layer.
        num_layers: L.

    Raises:
        ContractError: says how many there must be.
    """
    if len(codes) != num_layers:
        raise ContractError(
            f"codes are of {len(codes)} layers, and the model has {num_layers}"
        )


def check_parts(x: Examples, names: Sequence[str]) -> None:
    """Raises unless examples are a dict with the parts that a model reads.

    Args:
        x: a batch.
        names: parts that the model reads.

    Raises:
        ContractError: names the first one that is missing.
    """
    for name in names:
        if not isinstance(x, Mapping) or name not in x:
            found = f"a dict of {sorted(x)}" if isinstance(x, Mapping) else "no dict"
            raise ContractError(
                f"x is {found}: the model takes one of {', '.join(names)}, so it needs"
                f" x[{name!r}]"
            )


def check_classes(label: Array, num_classes: int, or_none: bool = False) -> None:
    """Raises unless labels are whole numbers, [B], and classes if they are known.

    Under `jit` their values are not.

    Args:
        label: whole numbers, [B].
        num_classes: C.
        or_none: whether a negative number is allowed, which says that there is none.

    Raises:
        ContractError: names their form, or the first one that is none.
    """
    dtype, shape = jnp.result_type(label), jnp.shape(label)
    if len(shape) != 1 or not jnp.issubdtype(dtype, jnp.integer):
        raise ContractError(
            f"labels are {dtype} of shape {shape}: they must be whole numbers, [B]"
        )
    if isinstance(label, jax.core.Tracer) or not getattr(
        label, "is_fully_addressable", True
    ):
        return
    values = np.asarray(label)
    wrong = values[(values >= num_classes) | ((values < 0) & (not or_none))]
    if wrong.size:
        raise ContractError(
            f"label {wrong[0]} is none of the classes 0, ..., {num_classes - 1}:"
            " number them from 0, or give the model more"
        )


def check_above(above: Codes, num_layers: int) -> None:
    """Raises if more layers are to be kept than a model has.

    Args:
        above: codes of the top layers.
        num_layers: L.

    Raises:
        ContractError: says how many there are.
    """
    if len(above) > num_layers:
        raise ContractError(
            f"above holds the codes of {len(above)} layers, and the model has"
            f" {num_layers}"
        )


def takes(module: Callable[..., object], name: str) -> bool:
    """Whether a module's `__call__` has an argument of this name.

    A `flax.linen.Sequential` hands keyword arguments to its first layer.
    """
    if isinstance(module, nn.Sequential):
        return bool(module.layers) and takes(module.layers[0], name)
    return name in _arguments(module)


def _arguments(module: Callable[..., object]) -> list[str]:
    """Names of the arguments of a function, or of a module's `__call__`."""
    if inspect.isroutine(module):
        return list(inspect.signature(module).parameters)
    return list(inspect.signature(type(module).__call__).parameters)[1:]  # no self


class Chain(nn.Module):
    """Modules one after the other, such as a network and its last part.

    Each layer whose `__call__` takes `train` is told; `flax.linen.Sequential` tells its
    first layer only.
    """

    layers: Sequence[nn.Module]

    def __call__(self, x: Examples, train: bool = False) -> PyTree:
        for layer in self.layers:
            x = call_part(layer, x, train=train)
        return x


def call_part(module: Callable[..., Result], *arguments: object, train: bool) -> Result:
    """Calls a part of a model, with the argument `train` if it takes one."""
    if not takes(module, "train"):
        return module(*arguments)
    if _arguments(module)[len(arguments) :][:1] == ["train"]:
        # By its place, as `nn.remat(..., static_argnums=...)` asks for.
        return module(*arguments, train)
    return module(*arguments, train=train)


def refuse_given(model: object, given: Given) -> None:
    """Raises if an unconditional model is given something to condition on.

    Raises:
        ContractError: names the model.
    """
    if given is not None:
        raise ContractError(
            f"{type(model).__name__} is not conditional: leave `given` out"
        )
