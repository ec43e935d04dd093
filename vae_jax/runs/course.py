"""Facts about a training, gathered while it runs."""

import dataclasses

from vae_jax.storage.manifest import Json


@dataclasses.dataclass
class Course:
    """How a training goes: what is known of its members so far."""

    seconds: float = 0.0  # of training, evaluations included
    failed: dict[int, int] = dataclasses.field(default_factory=dict)
    """For each member whose loss was not finite, the first such step."""
    has_stopped: bool = False  # no member's validation gets better any more
    signal: int = 0  # that asked to stop

    @property
    def meta(self) -> dict[str, object]:
        """The JSON form that checkpoints keep."""
        failed = {str(m): step for m, step in self.failed.items()}
        return {"train_seconds": self.seconds, "failed": failed}

    @classmethod
    def from_meta(cls, meta: Json) -> "Course":
        """That of a checkpoint, from its `meta`."""
        failed = {int(m): step for m, step in meta["failed"].items()}
        return cls(meta["train_seconds"], failed)
