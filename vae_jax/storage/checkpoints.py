"""Checkpoints that are written in the background and checked when they are read.

Each step is one directory that Orbax commits by a rename, so a killed run leaves whole
steps only. Orbax does not notice a flipped bit, therefore every step carries a manifest
with the dtype, shape and CRC-32 of each array, and says of which run and step it is:

    checkpoints/1000/state/           the arrays
    checkpoints/1000/meta/metadata    the manifest and the caller's `meta`, as JSON
    checkpoints/damaged/900/          a step that failed its check, kept for inspection
"""

import contextlib
import pathlib
import re
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils
from jax.typing import ArrayLike

from vae_jax.data.batches import put
from vae_jax.errors import CheckpointError, ConfigError
from vae_jax.paths import PathLike
from vae_jax.storage import manifest
from vae_jax.storage.damage import UnusableError, move_aside, reason_of
from vae_jax.storage.manifest import Json
from vae_jax.storage.quiet import quieten
from vae_jax.types import PyTree


class Checkpoints:
    """The checkpoints of one run; a context manager.

    Nothing is created until the first `save`. With several JAX processes, every process
    makes the same calls on the same shared directory; process 0 alone moves files.

    Args:
        directory: where the steps lie.
        max_to_keep: how many of the newest steps are kept; older ones are deleted.
        run: digest of what makes the run the same run; a step that was saved with
            another one is not restored. None: any run's.

    Raises:
        ConfigError: `max_to_keep` is below 1.
    """

    def __init__(
        self, directory: PathLike, *, max_to_keep: int = 3, run: str | None = None
    ) -> None:
        if max_to_keep < 1:
            raise ConfigError(f"max_to_keep must be 1 or more, not {max_to_keep}")
        self.directory = pathlib.Path(directory).absolute()
        self._max_to_keep = max_to_keep
        self._run = run
        self._manager: ocp.CheckpointManager | None = None
        quieten()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def save(
        self, step: int, state: PyTree, meta: Mapping[str, object] | None = None
    ) -> None:
        """Copies `state` to the host and writes it in the background.

        The device buffers may be donated as soon as this returns; the step is safe on
        disk only after `wait`. Saving the newest step again with equal arrays does
        nothing, so a run may stop right after a regular save.

        Args:
            step: the training step, larger than every saved one.
            state: a pytree of arrays. Arrays that are sharded over several processes
                are saved without a CRC, because no process holds the whole of them.
            meta: anything JSON can hold; `restore` returns it.

        Raises:
            CheckpointError: the directory holds a newer step, or this step with other
                arrays; or this or the previous save could not be written.
        """
        host = jax.tree.map(_to_host, state)
        arrays = manifest.describe(host)
        content = {
            "step": step,
            "run": self._run,
            "arrays": arrays,
            "meta": dict(meta or {}),
        }
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(host),
            meta=ocp.args.JsonSave(manifest.seal(content)),
        )
        manager = self._writer()
        newest = manager.latest_step()
        if newest is not None and newest >= step:
            if newest == step and self._holds(step, arrays):
                return
            raise CheckpointError(
                f"{self.directory} already holds step {newest}, which is not this"
                f" state of step {step}: restore it first or use an empty directory"
            )
        with self._write_errors():
            manager.save(step, args=args)

    def restore(
        self, abstract_state: PyTree, step: int | None = None
    ) -> tuple[int, PyTree, Json] | None:
        """Reads the newest good step, or exactly the one that is named.

        A newer step that is damaged (flipped bit, truncated or missing file) or that
        belongs elsewhere (copied from another run, or under another number) is moved
        to `damaged/` with a warning, once an older step has proved to be good. Another
        program may keep saving: if a step can't be read and there are newer ones by
        then, it was being deleted, and the newest one is read.

        Args:
            abstract_state: the expected structure: a state, or `jax.eval_shape` of the
                function that makes one. A leaf that carries a sharding is placed by it,
                on any number of devices; the others go to the default device.
            step: the step to read; None means the newest good one.

        Returns:
            (step, state of jax arrays, meta), or None when nothing was ever saved.

        Raises:
            CheckpointError: the state does not fit `abstract_state` (nothing is
                moved), the named step is missing or damaged, or no step is good.
        """
        self.wait()
        steps = self.all_steps()
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.directory} holds no step {step}; it holds {steps or 'none'}"
            )
        damaged: dict[int, str] = {}
        for candidate in reversed(steps) if step is None else [step]:
            try:
                state, meta = self._read(candidate, abstract_state)
            except UnusableError as damage:
                if step is None and _all_agree(self._has_newer(steps)):
                    return self.restore(abstract_state)
                damaged[candidate] = str(damage)
                continue
            self._set_aside(damaged, candidate)
            return candidate, state, meta
        if not damaged:
            return None
        newest = max(damaged)
        older = [s for s in steps if s < newest and s not in damaged]
        advice = f"try step {older[-1]}" if older else "there is no older good one"
        raise CheckpointError(
            f"{self.directory / str(newest)} {damaged[newest]}; {advice}"
        )

    def all_steps(self) -> list[int]:
        """The committed steps on disk, oldest first, whether good or not."""
        if not self.directory.is_dir():
            return []
        names = [path.name for path in self.directory.iterdir() if path.is_dir()]
        return sorted(int(n) for n in names if re.fullmatch("0|[1-9][0-9]*", n))

    def _has_newer(self, steps: list[int]) -> bool:
        """Whether newer steps have appeared since these were listed."""
        return self.all_steps()[-1:] > steps[-1:]

    def wait(self) -> None:
        """Returns once everything saved is committed; raises if that failed."""
        if self._manager is not None:
            with self._write_errors():
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves to end, then releases the background threads."""
        try:
            self.wait()
        finally:
            if self._manager is not None:
                self._manager.close()
                self._manager = None

    def _writer(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._max_to_keep, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        return self._manager

    @contextlib.contextmanager
    def _write_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # even a full disk comes as several types
            raise CheckpointError(
                f"cannot write a checkpoint to {self.directory}: {reason_of(error)}"
            ) from error

    def _holds(self, step: int, arrays: manifest.Manifest) -> bool:
        self.wait()
        try:
            return self._read_content(step)["arrays"] == arrays
        except UnusableError:
            return False

    def _read(self, step: int, abstract_state: PyTree) -> tuple[PyTree, Json]:
        """The state and meta of one step, if every process could read it well."""
        try:
            content = self._read_content(step)
            expected = manifest.describe(abstract_state)
            if misfit := manifest.misfit(content["arrays"], expected):
                raise CheckpointError(
                    f"{self.directory / str(step)} does not fit: {misfit}; use the"
                    " config that it was trained with"
                )
            host = self._read_arrays(step, abstract_state, content["arrays"])
        except UnusableError:
            _all_agree(False)
            raise
        if not _all_agree(True):
            raise UnusableError("is damaged (another process could not read it)")
        return jax.tree.map(_place, host, abstract_state), content["meta"]

    def _read_content(self, step: int) -> Json:
        folder = self.directory / str(step) / "meta"
        try:
            content = manifest.unseal(ocp.JsonCheckpointHandler().restore(folder))
        except Exception as error:  # whatever a damaged file makes of itself
            raise UnusableError(f"is damaged ({reason_of(error)})") from error
        if self._run not in (None, content.get("run")):
            raise UnusableError(
                "was saved by another run, or another version of vae_jax"
            )
        if content.get("step") != step:
            raise UnusableError(f"was saved as step {content.get('step')}")
        return content

    def _read_arrays(
        self, step: int, abstract_state: PyTree, saved: manifest.Manifest
    ) -> PyTree:
        like = jax.tree.map(
            lambda x: np.empty(jnp.shape(x), jnp.result_type(x)), abstract_state
        )
        folder = self.directory / str(step) / "state"
        try:
            host = ocp.StandardCheckpointHandler().restore(
                folder, args=ocp.args.StandardRestore(like)
            )
        except Exception as error:  # Orbax and TensorStore raise many types, even bare
            raise UnusableError(f"is damaged ({reason_of(error)})") from error
        if name := manifest.corrupted(saved, manifest.describe(host)):
            raise UnusableError(f"is damaged (the checksum of {name} is wrong)")
        return host

    def _set_aside(self, damaged: dict[int, str], good: int) -> None:
        """Moves damaged steps out of the count, with one warning for each."""
        if not damaged:
            return
        if jax.process_index() == 0:
            for step, reason in damaged.items():
                path = self.directory / str(step)
                outcome = move_aside(path, self.directory / "damaged")
                logging.warning(
                    f"checkpoint {path} of step {step} {reason}; {outcome};"
                    f" step {good} is used instead"
                )
        _all_agree(True)  # a barrier: no process continues before the files are moved
        if self._manager is not None:
            self._manager.reload()


def _all_agree(good: bool) -> bool:
    """Whether `good` holds in every process; also a barrier."""
    if jax.process_count() == 1:
        return good
    return bool(multihost_utils.process_allgather(np.asarray(good)).all())


def _to_host(leaf: ArrayLike) -> np.ndarray | jax.Array:
    if isinstance(leaf, np.ndarray):
        return leaf
    array = jnp.asarray(leaf)
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)  # Orbax copies NumPy arrays before `save` returns
    return array


def _place(host: np.ndarray, like: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    """Puts an array where `like` is: by its sharding, or on the default device."""
    sharding = getattr(like, "sharding", None)
    return put(host, sharding if getattr(like, "committed", True) else None)
