"""Images per second of the importance-weighted NLL with K = 5,000."""

import functools
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.common import seconds
from benchmarks.gpu.precision import at
from benchmarks.gpu.sitting import Case
from benchmarks.nll import DECODER_MULTIPLICATIONS, make_evaluation, make_model

NUM_SAMPLES = 5_000
CHUNKS = ((20, 50), (20, 500), (20, 5_000), (160, 50), (1_280, 50))
ROUNDS = 3


def measure_chunk(
    batch_size: int, sample_chunk: int, small: bool, left: float
) -> dict[str, Any]:
    """Speed with so many images and samples at a time."""
    del left
    num_samples = 100 if small else NUM_SAMPLES
    count = batch_size * (1 if small else max(1, 2_560 // batch_size))
    evaluate, _, _ = make_evaluation(
        make_model(), count, num_samples, batch_size, sample_chunk
    )
    timed = at("tf32", functools.partial(seconds, evaluate))
    timed()  # compile
    median = statistics.median(timed() for _ in range(ROUNDS))
    return {
        "num_samples": num_samples,
        "images_per_second": count / median,
        "tflops": 2e-12 * DECODER_MULTIPLICATIONS * num_samples * count / median,
    }


def cases(small: bool) -> Iterator[Case]:
    """How many images and samples are decoded at a time."""
    for batch_size, chunk in CHUNKS[:1] if small else CHUNKS:
        measure = functools.partial(measure_chunk, batch_size, chunk, small)
        yield Case(f"{batch_size} images, {chunk} samples", measure)
