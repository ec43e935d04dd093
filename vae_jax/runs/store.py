"""The checkpoints of a program's members."""

from collections.abc import Mapping

import jax

from vae_jax.runs import identity
from vae_jax.runs.best import Saved
from vae_jax.runs.program import Program
from vae_jax.storage.checkpoints import Checkpoints
from vae_jax.storage.manifest import Json
from vae_jax.training.mesh import fetch


class Store:
    """Saves and restores the members of a program together; a context manager.

    A single run is saved without the axis of members, so that any program opens it.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        digests = program.digests
        self._checkpoints = Checkpoints(
            program.store / "checkpoints",
            max_to_keep=program.config.train.max_to_keep,
            run=digests[0] if program.is_single else identity.joint_digest(digests),
        )

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self._checkpoints.close()

    def restore(self, like: Saved) -> tuple[int, Saved, Json] | None:
        """The newest good step, placed by the program's layout.

        Args:
            like: shapes of all members together, [M, ...].

        Returns:
            (step, what was saved [M, ...], meta), or None if nothing was.
        """
        single, sharding = self._program.is_single, self._program.layout.state

        def on_disk(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            shape = leaf.shape[1:] if single else leaf.shape
            return leaf.update(shape=shape, sharding=sharding)

        restored = self._checkpoints.restore(jax.tree.map(on_disk, like))
        if restored is None or not single:
            return restored
        step, saved, meta = restored
        with_axis = jax.jit(
            lambda saved: jax.tree.map(lambda leaf: leaf[None], saved),
            out_shardings=sharding,
        )
        return step, with_axis(saved), meta

    def save(self, step: int, saved: Saved, meta: Mapping[str, object]) -> None:
        """Writes a step in the background, see `Checkpoints.save`."""
        if self._program.is_single:
            saved = jax.tree.map(lambda leaf: fetch(leaf)[0], saved)
        self._checkpoints.save(step, saved, meta)

    def newest(self) -> int | None:
        """The newest step once all saves are safe on disk; None without any."""
        self._checkpoints.wait()
        return max(self._checkpoints.all_steps(), default=None)
