"""Training steps of a dense and a convolutional network, beside PyTorch's."""

import contextlib
import functools
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.common import make_chunk, make_product, take_turns
from benchmarks.gpu.precision import at, with_dtype
from benchmarks.gpu.sitting import Case
from benchmarks.workload import flops_per_step, make_config, make_images

BATCHES = (128, 8192, 1024)
PRECISIONS = ("tf32", "bfloat16", "float32")
ROUNDS = 3
SECONDS = 0.3  # of one measurement


class Setting(NamedTuple):
    """One training that is timed."""

    model: str
    precision: str
    batch_size: int

    @property
    def name(self) -> str:
        """As rows are called."""
        return f"{self.model} {self.precision} {self.batch_size}"


class Torch:
    """A process of a Python that has torch, which times PyTorch's steps.

    Args:
        python: the Python; None: there is nothing to compare with.
        model: name of the network.
        path: file of the images.
    """

    def __init__(self, python: str | None, model: str, path: pathlib.Path) -> None:
        self._process = None
        if python is not None:
            command = [python, "-m", "benchmarks.gpu.torch_side", model, str(path)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.poll() is None

    def timed(self, kind: str, setting: Setting, budget: float) -> float:
        """Seconds per step of a kind, "eager" or "compiled"; the first call warms up.

        Args:
            kind: "eager" or "compiled".
            setting: precision and size of a batch.
            budget: seconds that the measurement takes, about.

        Raises:
            RuntimeError: PyTorch failed.
        """
        assert self._process and self._process.stdin and self._process.stdout
        words = (kind, setting.precision, setting.batch_size, budget)
        print(*words, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline().strip()
        try:
            return float(line)
        except ValueError:
            raise RuntimeError(f"torch_side: {line or 'ended'}") from None

    def close(self) -> None:
        """Ends the process."""
        if self._process and self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                self._process.stdin.close()
            self._process.kill()
            self._process.wait()


@functools.cache
def peak(precision: str, size: int) -> float:
    """FLOP/s of the card's largest products."""
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    return at(precision, lambda: make_product(size, dtype)())()


def steps_of(batch: int, small: bool) -> int:
    """So many that a timed call takes some tenths of a second."""
    return 3 if small else max(25, 400_000 // batch)


def summary(values: Sequence[float], setting: Setting) -> dict[str, Any]:
    """Median and spread of seconds per step."""
    median = statistics.median(values)
    return {
        "ms": 1e3 * median,
        "spread_ms": [1e3 * min(values), 1e3 * max(values)],
        "images_per_second": setting.batch_size / median,
    }


class Timer:
    """What is needed to time one network."""

    def __init__(self, python: str | None, model: str, small: bool) -> None:
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder) / f"{model}.npz"
        self._images = make_images(model, path)
        self._config = make_config(model, path, 1_000)
        own_batch = self._config.data.batch_size
        self._flops_per_image = flops_per_step(self._config) / own_batch
        self._small = small
        self._budget = 0.0 if small else SECONDS
        self.torch = Torch(python, model, path)

    def close(self) -> None:
        """Ends PyTorch's process."""
        self.torch.close()
        self._stack.close()

    def both(self, setting: Setting, left: float) -> dict[str, Any]:
        """JAX's step and PyTorch's eager one, in turn."""
        del left
        config = with_dtype(self._config, setting.precision)
        config.data.batch_size = setting.batch_size
        steps = steps_of(setting.batch_size, self._small)
        make = functools.partial(
            make_chunk, config, self._images, steps, mesh={"data": 1}
        )
        kinds = {"jax": at(setting.precision, at(setting.precision, make)())}
        if self.torch.alive:
            kinds["torch eager"] = lambda: self.torch.timed(
                "eager", setting, self._budget
            )
        row: dict[str, Any] = {
            kind: summary(values, setting)
            for kind, values in take_turns(kinds, ROUNDS).items()
        }
        flops = setting.batch_size * self._flops_per_image
        rate = flops / row["jax"]["ms"] * 1e3
        size = 128 if self._small else 8192
        share = rate / peak(setting.precision, size)
        return row | {"flops": flops, "share_of_peak": share}

    def compiled(self, setting: Setting, left: float) -> dict[str, Any]:
        """PyTorch's compiled step."""
        del left
        values = [
            self.torch.timed("compiled", setting, self._budget) for _ in range(ROUNDS)
        ]
        return {"torch compiled": summary(values, setting)}


def cases(python: str | None, small: bool) -> Iterator[Case]:
    """Each network, precision and size of a batch; those of most interest first.

    Args:
        python: a Python that has torch, or None.
        small: whether sizes are those of a test.
    """
    batches = (16,) if small else BATCHES
    with contextlib.ExitStack() as stack:
        timers = {model: Timer(python, model, small) for model in ("mlp", "conv")}
        for timer in timers.values():
            stack.callback(timer.close)
        for precision in PRECISIONS:
            settings = [
                (timers[model], Setting(model, precision, batch))
                for batch in batches
                for model in timers
            ]
            for timer, setting in settings:
                yield Case(setting.name, functools.partial(timer.both, setting))
            for timer, setting in settings:
                if timer.torch.alive:
                    measure = functools.partial(timer.compiled, setting)
                    yield Case(f"{setting.name} compiled", measure)
