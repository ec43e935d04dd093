"""What a trial counted and which promises it saw broken."""

import collections
import dataclasses


@dataclasses.dataclass
class Outcome:
    """Counts of one trial, or the sum over several."""

    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    broken: list[str] = dataclasses.field(default_factory=list)
    skipped: str = ""
    parting: float = 0.0  # the longest from an error line to the end, seconds

    def count(self, what: str, number: int = 1) -> None:
        """Adds to a count; the order of first use is that of the table."""
        self.counts[what] += number

    def require(self, held: bool, promise: str) -> None:
        """Notes a promise that was not held."""
        if not held:
            self.broken.append(promise)

    def require_none(self, differences: list[str], where: str) -> None:
        """Notes what differs from a straight run."""
        self.broken += [f"{where}: {difference}" for difference in differences]

    def add_at(self, other: "Outcome", where: str) -> None:
        """Adds another one, whose broken promises need to be told where they were."""
        other.broken = [f"{where}: {promise}" for promise in other.broken]
        self.add(other)

    def add(self, other: "Outcome") -> None:
        """Adds another trial's."""
        for what, number in other.counts.items():
            self.count(what, number)
        self.broken += other.broken
        self.skipped = self.skipped or other.skipped
        self.parting = max(self.parting, other.parting)

    def __str__(self) -> str:
        """As the table's last column has it."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        counts = [(what, n) for what, n in self.counts.items() if n]
        # The places of the faults come after what the faults did.
        counts.sort(key=lambda item: item[0].startswith("at "))
        parts = [f"{number} {what}" for what, number in counts]
        if self.parting:
            parts.append(f"ended at most {self.parting:.1f} s after the line")
        return ", ".join([*parts, f"broken promises: {len(self.broken)}"])
