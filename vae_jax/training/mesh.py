"""Placement of arrays on devices: one mesh with the axes `member` and `data`.

The step is the same everywhere. Members of an ensemble lie along `member` and do not
communicate; the examples of a batch lie along `data`, and the compiler adds one
sum of the gradients over that axis.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vae_jax.errors import ConfigError

AXES = ("member", "data")
Tree = TypeVar("Tree")  # a pytree of arrays, of which the form stays the same


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the arrays of a training lie on the mesh."""

    mesh: Mesh
    is_ensemble: bool  # whether members, the first axis of a state, lie along `member`

    def _sharding(self, *axes: str | None) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    @property
    def state(self) -> NamedSharding:
        """Sharding of the state, and of keys and hparams, [M, ...]."""
        return self._sharding("member") if self.is_ensemble else self.shared

    @property
    def shared(self) -> NamedSharding:
        """Sharding of arrays that every device holds a copy of."""
        return self._sharding()

    @property
    def batch(self) -> NamedSharding:
        """Sharding of the batch of a step, [B, ...]."""
        return self._sharding("data")

    @property
    def steps(self) -> NamedSharding:
        """Sharding of rows or images for several steps, [n, B, ...]."""
        return self._sharding(None, "data")

    def __str__(self) -> str:
        sizes = [f"{name}={size}" for name, size in self.mesh.shape.items() if size > 1]
        kind = self.mesh.devices.flat[0].device_kind
        return f"{','.join(sizes) or 'one device'} of {jax.device_count()} ({kind})"


def parse_mesh(text: str) -> dict[str, int] | None:
    """Reads "member=4,data=2"; None for "", which leaves the choice to `make_layout`.

    Raises:
        ConfigError: another axis, one twice, or a size that is not a number above 0.
    """
    if not text:
        return None
    shape: dict[str, int] = {}
    for word in text.split(","):
        name, _, size = word.strip().partition("=")
        if name not in AXES or name in shape or not size.isdecimal() or int(size) < 1:
            raise ConfigError(
                f"--mesh={text}: expected member=N, data=N or member=N,data=N with"
                f" whole numbers above 0, found {word!r}"
            )
        shape[name] = int(size)
    return shape


def make_layout(
    shape: Mapping[str, int] | None, *, batch_size: int, members: int | None = None
) -> Layout:
    """Lays a training out over the devices of all processes.

    Every process takes part with the same number of devices.

    Args:
        shape: shape of the mesh, {"member": 4, "data": 2}; an axis left out has size 1.
            None: as many devices as divide the members of an ensemble, or else the
            batch.
        batch_size: B.
        members: M of an ensemble whose members are computed side by side, else None.

    Returns:
        The layout of the mesh.

    Raises:
        ConfigError: the shape does not divide the devices, the members or the batch.
    """
    processes, present = jax.process_count(), jax.device_count()
    if shape is None:
        shape = _natural_shape(members, batch_size)
    elif present % math.prod(shape.values()) or math.prod(shape.values()) % processes:
        each = f" and be a multiple of the {processes} processes"
        raise ConfigError(
            f"--mesh={_text(shape)}: its {math.prod(shape.values())} devices must"
            f" divide the {present} available{each if processes > 1 else ''}"
        )
    for axis, total, what in (
        ("member", members or 1, "members that are computed side by side"),
        ("data", batch_size, "images of a batch (data.batch_size)"),
    ):
        if total % shape.get(axis, 1):
            raise ConfigError(f"--mesh={_text(shape)}: must divide the {total} {what}")
    sizes = [shape.get(axis, 1) for axis in AXES]
    devices: list[jax.Device] = []
    for process in range(processes):
        devices += jax.local_devices(process)[: math.prod(sizes) // processes]
    # Explicit axes would leave a gather by sharded rows unsharded, without a word.
    auto = (AxisType.Auto,) * len(AXES)
    mesh = Mesh(np.asarray(devices).reshape(sizes), AXES, axis_types=auto)
    return Layout(mesh, is_ensemble=members is not None)


def _natural_shape(members: int | None, batch_size: int) -> dict[str, int]:
    axis, total = ("data", batch_size) if members is None else ("member", members)
    processes = jax.process_count()
    each = jax.device_count() // processes
    sizes = [n * processes for n in range(1, each + 1) if total % (n * processes) == 0]
    if not sizes:
        what = "members of the grid" if axis == "member" else "images of a batch"
        raise ConfigError(
            f"the {total} {what} can't be divided evenly among {processes}"
            " processes: choose another number of either, or --mesh=member=N,data=N"
        )
    return {axis: sizes[-1]}


def _text(shape: Mapping[str, int]) -> str:
    return ",".join(f"{axis}={size}" for axis, size in shape.items())


def place(tree: Tree, sharding: NamedSharding) -> Tree:
    """Puts arrays of which every process has an equal copy where `sharding` says."""
    return jax.jit(lambda same: same, out_shardings=sharding)(tree)


def fetch(array: jax.Array) -> np.ndarray:
    """The whole of an array, in every process; all of them must call this."""
    if jax.process_count() == 1 or array.is_fully_replicated:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)


def on_one_device(tree: Tree) -> Tree:
    """A copy on this process's first device of arrays that all devices hold.

    It is not committed to that device, as data are not: JAX compiles a program once
    more for committed arguments.
    """
    return jax.tree.map(_uncommitted, tree)


def _uncommitted(array: jax.Array) -> jax.Array:
    own = array.addressable_data(0)
    if jnp.issubdtype(own.dtype, jax.dtypes.prng_key):
        numbers = _uncommitted(jax.random.key_data(own))
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(own))
    return jnp.asarray(np.asarray(own))


def member(states: Tree, index: int) -> Tree:
    """One member of an ensemble, on this process's first device; all must call this."""
    mesh = jax.tree.leaves(states)[0].sharding.mesh
    return on_one_device(_pick(states, index, NamedSharding(mesh, PartitionSpec())))


@functools.partial(jax.jit, static_argnums=2)
def _pick(states: Tree, index: int, sharding: NamedSharding) -> Tree:
    picked = jax.tree.map(lambda leaf: leaf[index], states)
    return jax.lax.with_sharding_constraint(picked, sharding)
