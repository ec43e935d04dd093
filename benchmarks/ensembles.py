"""Training steps of ensembles, against those of a single run.

    python -m benchmarks.ensembles [--config=configs/mnist.py] [--members 1 2 4 8 16 32]
        [--rounds=5] [--side=28] [--json=FILE]

Members are trained side by side on one device ("vmap"), side by side and spread over
all devices ("spread"), and one after the other in one program ("exact"). A single run
is "exact" with one member. Made-up images of --side pixels. On a CPU each core is a
device, as `experiments.ablate` has it.
"""

import math
import os
import runpy
import statistics
from collections.abc import Callable

import jax

from benchmarks.common import (
    make_chunk,
    make_images,
    make_parser,
    ratios,
    save,
    take_turns,
)

STEPS = 25  # per timed call


def main() -> None:
    """Prints milliseconds per step and member."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--config", default="configs/mnist.py")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--side", type=int, default=28)
    flags = parser.parse_args()
    if jax.config.jax_num_cpu_devices < 1:
        jax.config.update("jax_num_cpu_devices", os.cpu_count())
    config = runpy.run_path(flags.config)["get_config"]()
    images = make_images(10_000, (flags.side, flags.side, 1))
    cases: dict[tuple[str, int], Callable[[], float]] = {}
    for count in sorted({1, *flags.members}):  # a single run to compare with
        one_device = {"member": 1}
        cases |= {
            ("vmap", count): make_chunk(
                config, images, STEPS, "vmap", count, one_device
            ),
            ("exact", count): make_chunk(
                config, images, STEPS, "exact", count, {"data": 1}
            ),
        }
        if math.gcd(count, jax.device_count()) > 1:
            cases["spread", count] = make_chunk(config, images, STEPS, "vmap", count)
    taken = take_turns(cases, flags.rounds)
    single = taken["exact", 1]
    print(f"{jax.device_count()} devices; single run {ms(single):.2f} ms per step")
    print("members  kind    ms per step and member  single / it       spread")
    table = []
    for (kind, count), values in taken.items():
        each = [value / count for value in values]
        ratio, least, most = ratios(single, each)
        table.append(
            {
                "kind": kind,
                "members": count,
                "ms_per_step_and_member": ms(each),
                "single_over_it": ratio,
                "spread": [least, most],
            }
        )
        print(
            f"{count:7d}  {kind:6} {ms(each):23.2f} {ratio:12.2f}"
            f" {f'{least:.2f}-{most:.2f}':>12}"
        )
    save(table, flags.json)


def ms(values: list[float]) -> float:
    """Median of seconds, in milliseconds."""
    return 1e3 * statistics.median(values)


if __name__ == "__main__":
    main()
