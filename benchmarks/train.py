"""Training throughput of the real loop, against a bare scan of its step and PyTorch.

    python -m benchmarks.train [--steps=2000] [--rounds=5] [--torch=PYTHON]

The model is 784-400-20-400-784 with batches of 128, binarised anew at each visit, on
made-up images. The kinds take turns, and medians over the rounds are compared:

- real: `runs.fit`, with progress bar, metrics and checkpoints. A short run is taken
  from a long one, which leaves out start-up and compilation.
- scan: `lax.scan` over the same preprocessing and step, data on the device.
- loader, indexed: benchmarks/torch_twin.py, run by the Python of --torch: a DataLoader,
  and rows of a tensor in memory.
- product: 2,048 x 2,048 matrices, for the share of the machine's peak.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import default
from vae_jax import build
from vae_jax.runs.evaluator import Evaluator
from vae_jax.runs.fit import fit
from vae_jax.training.mesh import make_layout
from vae_jax.types import stream

HIDDEN, LATENT, SIZE = 400, 20, 2048
SHORT = 200  # steps of the run that is taken off


def make_config(path: pathlib.Path, num_steps: int) -> ConfigDict:
    """The model and its data; four checkpoints in a run."""
    config = default.get_config()
    config.data.name = f"npz:{path}"
    config.model.hidden_dims = (HIDDEN,)
    config.model.latent_dim = LATENT
    config.train.num_steps = num_steps
    config.train.eval_every = 0
    config.train.checkpoint_every = max(1, num_steps // 4)
    return config


def real(path: pathlib.Path, steps: int) -> Callable[[], float]:
    """Seconds of `steps` steps of the real loop."""
    evaluator = Evaluator(
        make_config(path, steps), build.make_dataset(make_config(path, steps))
    )

    def whole(num_steps: int) -> float:
        config = make_config(path, num_steps)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            start = time.perf_counter()
            fit(
                config,
                evaluator,
                build.make_trainer(config, evaluator.dataset.image_shape),
                build.run_key(config),
                build.make_hparams_of(config),
                folder=folder,
                folders=[folder],
                title="real",
                layout=make_layout({"data": 1}, batch_size=config.data.batch_size),
            )
            return time.perf_counter() - start

    return lambda: whole(SHORT + steps) - whole(SHORT)


def scan(path: pathlib.Path, steps: int) -> Callable[[], float]:
    """Seconds of the same steps in one `lax.scan`."""
    config = make_config(path, steps)
    dataset = build.make_dataset(config)
    trainer = build.make_trainer(config, dataset.image_shape)
    preprocess = build.make_preprocess(config)
    hparams, key = build.make_hparams_of(config), build.run_key(config)
    images, batch = jnp.asarray(dataset.train.images), config.data.batch_size
    state = trainer.init(key, jnp.zeros((1, *dataset.image_shape)))
    z_key, x_key = stream(key, "latents"), stream(key, "preprocess")

    @jax.jit
    def run(state, images, rows):  # noqa: ANN001, ANN202
        def body(state, t_rows):  # noqa: ANN001, ANN202
            t, row = t_rows
            x = preprocess(images[row], jax.random.fold_in(x_key, t))
            state, metrics = trainer.step(state, x, z_key, hparams)
            return state, metrics["loss"]

        return jax.lax.scan(body, state, (jnp.arange(len(rows)), rows))

    rows = np.random.default_rng(0).integers(0, len(images), (steps, batch))
    jax.block_until_ready(run(state, images, rows))

    def timed() -> float:
        start = time.perf_counter()
        jax.block_until_ready(run(state, images, rows))
        return time.perf_counter() - start

    return timed


def product() -> float:
    """GFLOP/s of a large product of matrices."""
    a = jnp.ones((SIZE, SIZE))
    multiply = jax.jit(jnp.dot)
    jax.block_until_ready(multiply(a, a))
    start = time.perf_counter()
    for _ in range(5):
        a = multiply(a, jnp.eye(SIZE))
    jax.block_until_ready(a)
    return 5 * 2 * SIZE**3 / (time.perf_counter() - start) / 1e9


def flops_per_image(size: int) -> int:
    """Of the products: forward once, backward twice, but for the input's gradient."""
    layers = size * HIDDEN + 2 * HIDDEN * LATENT + LATENT * HIDDEN + HIDDEN * size
    return 2 * (3 * layers - size * HIDDEN)


def main() -> None:
    """Prints the table and writes it, if asked, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", help="a Python that has torch")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    times: dict[str, list[float]] = {}
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "images.npz"
        numbers = np.random.default_rng(0)
        ink = numbers.integers(0, 256, (20_000, 28, 28, 1), np.uint8)
        ink *= numbers.random(ink.shape) < 0.2
        np.savez(path, x_train=ink[:18_000], x_test=ink[18_000:])
        batch = make_config(path, 1).data.batch_size
        kinds = {"real": real(path, args.steps), "scan": scan(path, args.steps)}
        if args.torch:
            twin = subprocess.Popen(
                [args.torch, pathlib.Path(__file__).with_name("torch_twin.py"), path]
                + [str(batch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert twin.stdin and twin.stdout

            def ask(kind: str) -> float:
                print(kind, args.steps, file=twin.stdin, flush=True)
                return float(twin.stdout.readline())

            for kind in ("loader", "indexed"):
                kinds[kind] = lambda kind=kind: ask(kind)
        for _ in range(args.rounds):
            for kind, run in kinds.items():
                times.setdefault(kind, []).append(run())
            peaks.append(product())
        if args.torch:
            twin.stdin.close()
            twin.wait()
    medians = {kind: statistics.median(t) for kind, t in times.items()}
    gflops = flops_per_image(28 * 28) * batch * args.steps / 1e9
    print(f"{'kind':8} {'images/s':>9} {'real / it':>9} {'spread':>11} {'of peak':>8}")
    table = {}
    for kind, median in medians.items():
        ratios = [t / r for t, r in zip(times[kind], times["real"], strict=True)]
        share = gflops / median / statistics.median(peaks)
        table[kind] = {
            "images_per_second": args.steps * batch / median,
            "real_over_it": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)],
            "share_of_peak": share,
        }
        print(
            f"{kind:8} {args.steps * batch / median:9.0f}"
            f" {statistics.median(ratios):9.2f}"
            f" {min(ratios):5.2f}-{max(ratios):5.2f} {share:8.2f}"
        )
    print(f"peak {statistics.median(peaks):.0f} GFLOP/s ({SIZE} x {SIZE} products)")
    if args.json:
        args.json.write_text(json.dumps(table | {"peak_gflops": peaks}, indent=1))


if __name__ == "__main__":
    main()
