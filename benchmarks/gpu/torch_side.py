"""The same training in PyTorch on a GPU, eager and compiled.

    python -m benchmarks.gpu.torch_side MODEL FILE.npz

Reads lines "KIND PRECISION BATCH SECONDS" from stdin and answers each with the seconds
per step, measured for about SECONDS, or with "error: ...". Networks are those of
benchmarks/torch_twin.py. Images lie on the device; `compiled` is
`torch.compile(mode="reduce-overhead")`, which replays CUDA graphs; both have a fused
Adam.
"""

import functools
import sys
import time
from collections.abc import Callable

from benchmarks.torch_twin import MODELS, np, quiet, torch  # says what is missing

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WARM_UP = 5  # steps


def make_step(
    model_name: str, images: torch.Tensor, kind: str, precision: str, batch: int
) -> Callable[[], None]:
    """One update on a random batch."""
    model = MODELS[model_name]().to(DEVICE)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=1e-3, fused=DEVICE == "cuda" or None
    )
    forward = model
    if kind == "compiled":
        torch.compiler.reset()  # it gives up after some compilations of one function
        forward = torch.compile(model, mode="reduce-overhead", dynamic=False)
    low = precision == "bfloat16"

    def step() -> None:
        rows = torch.randint(len(images), (batch,), device=DEVICE)
        x = images[rows].float() / 255
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=low):
            loss = forward(x)
        loss.backward()
        optimizer.step()

    return step


def set_precision(precision: str) -> None:
    """Whether products of float32 may be computed in tf32."""
    torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    torch.backends.cudnn.allow_tf32 = precision != "float32"


def timed(step: Callable[[], None], steps: int) -> float:
    """Seconds per step."""
    wait = torch.cuda.synchronize if DEVICE == "cuda" else (lambda: None)
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - start) / steps


def main(model_name: str, path: str) -> None:
    """Answers requests until stdin ends."""
    stored = torch.from_numpy(np.load(path)["x_train"]).permute(0, 3, 1, 2)
    images = stored.contiguous().to(DEVICE)
    torch.backends.cudnn.benchmark = True

    @functools.cache
    def ready(
        kind: str, precision: str, batch: int
    ) -> tuple[Callable[[], None], float]:
        step = make_step(model_name, images, kind, precision, batch)
        timed(step, WARM_UP)
        return step, timed(step, WARM_UP)

    for line in sys.stdin:
        kind, precision, batch, budget = line.split()
        try:
            with quiet():
                set_precision(precision)
                step, expected = ready(kind, precision, int(batch))
                steps = max(WARM_UP, round(float(budget) / expected))
                answer = str(timed(step, steps))
        except Exception as error:
            answer = f"error: {type(error).__name__}: {error}".replace("\n", " ")
        print(answer, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m benchmarks.gpu.torch_side MODEL FILE.npz")
    main(sys.argv[1], sys.argv[2])
