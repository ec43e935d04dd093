"""Facts about a training, gathered while it runs."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from vae_jax.storage.manifest import Json
from vae_jax.training.chunks import ChunkSums
from vae_jax.training.loop import Unreported
from vae_jax.training.mesh import fetch


@dataclasses.dataclass
class Course:
    """How a training goes: what is known of its members so far."""

    seconds: float = 0.0  # of training, evaluations included
    failed: dict[int, int] = dataclasses.field(default_factory=dict)
    """For each member whose loss was not finite, the first such step."""
    unreported: Unreported | None = None
    """Sums up to the checkpoint of a training that was stopped between two reports."""
    has_stopped: bool = False  # no member's validation gets better any more
    signal: int = 0  # that asked to stop

    @property
    def meta(self) -> dict[str, object]:
        """The JSON form that checkpoints keep."""
        failed = {str(m): step for m, step in self.failed.items()}
        meta: dict[str, object] = {"train_seconds": self.seconds, "failed": failed}
        if self.unreported:
            first, sums = self.unreported
            metrics = {name: fetch(v).tolist() for name, v in sums.metrics.items()}
            meta["unreported"] = {"first": first, "sums": metrics}
        return meta

    @classmethod
    def from_meta(cls, meta: Json) -> "Course":
        """That of a checkpoint, from its `meta`."""
        failed = {int(m): step for m, step in meta["failed"].items()}
        kept, unreported = meta.get("unreported"), None
        if kept:
            sums = {k: jnp.asarray(np.float32(v)) for k, v in kept["sums"].items()}
            none_bad = jnp.full(len(sums["loss"]), -1, jnp.int32)  # `failed` has them
            unreported = Unreported(kept["first"], ChunkSums(sums, none_bad))
        return cls(meta["train_seconds"], failed, unreported)
