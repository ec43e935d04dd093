"""What the explorer's page shows of one run: codes, and a lattice of them decoded."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from vae_jax.data.dataset import Dataset
from vae_jax.errors import ConfigError
from vae_jax.evaluation.chunks import even_rows
from vae_jax.evaluation.nearness import neighbourhoods
from vae_jax.report.explorer import Axis, Explored
from vae_jax.runs.moved_layer import MovedLayer
from vae_jax.runs.opened import Run
from vae_jax.runs.run_data import split_of
from vae_jax.types import stream

SLIDERS = (5, 5)  # how many values are decoded of the dimensions beyond the map's two
LEAST_MAP, MOST_MAP = 9, 28  # and of each of those two
MOST_NODES = 2500  # codes of a lattice
MOST_IMAGES = 10_000  # decoded codes of a lattice, for all labels together
ACTIVE_RATE = 0.01  # nats: a dimension with less tells nothing of the image
PRIOR_SPAN = 3.0  # standard deviations of N(0, I) that the map shows on each side
MARGIN = 0.05  # of a map, beyond the codes
MOST_LABELS = 16  # that a conditional model decodes each code for
NUM_DRAWS = 200  # from the prior


def explore_run(
    run: Run, dataset: Dataset, rows: np.ndarray, most_images: int
) -> Explored:
    """Encodes held-out images and decodes a lattice of codes.

    Its K dimensions are those of the highest rate, or of the highest variance of codes
    where the model defines no rate. All others stay at the mean of the codes.

    Args:
        run: a trained run.
        dataset: the images it was trained on.
        rows: which test images, [N], at least two.
        most_images: how many codes may be decoded, for all labels together.

    Returns:
        What the page shows, still without a name and results.

    Raises:
        ConfigError: the codes are discrete, or `most_images` are too few.
    """
    split = split_of(run.config, dataset, run.inputs, "test")
    layer = MovedLayer.of(run.trained, split.x(rows[:1]), run.workdir)
    found = layer.encode(split, rows)
    means, given = found["mean"], found.get("given")
    draws_key = stream(run.root_key, "explorer")
    draws = layer.draws(draws_key, NUM_DRAWS, run.given(NUM_DRAWS))
    rates = found["kl"].mean(axis=0) if "kl" in found else None
    labels = _labels(layer, dataset)
    place = {number: i for i, number in enumerate(labels)}
    most_images = min(most_images, MOST_IMAGES) // max(1, len(labels))
    dims, sizes = _dimensions(means, rates, most_images)
    is_standard = bool(found["is_standard"].all())
    spans = _spans(means[:, dims], draws[:, dims], is_standard)
    axes = [
        Axis(
            layer.name(d),
            _values(means[:, d], span, size),
            None if rates is None else float(rates[d]),
        )
        for d, span, size in zip(dims.tolist(), spans, sizes, strict=True)
    ]
    rest = means.mean(axis=0)
    variances, reach = neighbourhoods(means, found["variance"])
    apart = (rest - means) ** 2
    apart[:, dims] = 0.0
    explored = Explored(
        name="",
        numbers=(),
        axes=axes,
        others=layer.size - len(dims),
        lattice=_lattice(layer, rest, dims, axes, list(labels)),
        decoded=layer.decode(means, given),
        means=means[:, dims],
        variances=variances[:, dims],
        apart=apart.sum(axis=1),
        beyond=(apart / variances).sum(axis=1),
        reach=reach,
        draws=draws[:, dims],
        has_standard_prior=is_standard,
        labels=list(labels.values()),
        given=[] if given is None else [place.get(g, -1) for g in given.tolist()],
    )
    return explored if len(axes) > 1 else _with_second_axis(explored)


def lattice_sizes(num_dims: int, most: int) -> tuple[int, ...]:
    """How many values of each dimension are decoded.

    Args:
        num_dims: dimensions that could be moved.
        most: how many codes may be decoded.

    Returns:
        K sizes, those of the map's dimensions first; K is 1 for one dimension, else 2
        to 4: a dimension more is dropped where the map would become too coarse.

    Raises:
        ConfigError: there are not enough codes for any map.
    """
    most = min(most, MOST_NODES)
    if num_dims == 1:
        return (min(most, 4 * MOST_MAP),)
    for count in reversed(range(min(num_dims - 2, len(SLIDERS)) + 1)):
        sliders = SLIDERS[:count]
        side = math.isqrt(most // math.prod(sliders))
        if side >= LEAST_MAP or not sliders:
            break
    if side < 3:
        raise ConfigError(
            f"the page has room for {most} decoded images of each run and label, and a"
            " map needs 9: choose fewer runs"
        )
    side = min(side, MOST_MAP)
    return (side, side, *sliders)


def _dimensions(
    means: np.ndarray, rates: np.ndarray | None, most: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Which dimensions are moved, [K], and how many values of each are decoded."""
    busyness = means.var(axis=0) if rates is None else rates
    useful = len(busyness) if rates is None else int((rates > ACTIVE_RATE).sum())
    num_dims = min(len(busyness), max(2, useful))
    sizes = lattice_sizes(num_dims, most)
    dims = np.argsort(-busyness, kind="stable")[: len(sizes)]
    dims[:2].sort()  # a code of two numbers is drawn as one expects
    return dims, sizes


def _spans(
    means: np.ndarray, draws: np.ndarray, is_standard: bool
) -> list[tuple[float, float]]:
    """Smallest and largest value of each dimension; the map's two are equally long.

    They contain nearly all codes, and the prior.
    """
    seen = [np.quantile(means, [0.005, 0.995], axis=0)]
    if is_standard:
        seen.append(np.full((2, means.shape[1]), [[-PRIOR_SPAN], [PRIOR_SPAN]]))
    else:
        seen.append(np.quantile(draws, [0.01, 0.99], axis=0))
    low, high = np.min(seen, axis=(0, 1)), np.max(seen, axis=(0, 1))
    center, half = (low + high) / 2, (1 + MARGIN) * (high - low) / 2
    half[:2] = half[:2].max()
    half = np.maximum(half, 1e-6)  # where all codes are one point
    return list(zip((center - half).tolist(), (center + half).tolist(), strict=True))


def _values(codes: np.ndarray, span: tuple[float, float], size: int) -> list[float]:
    """Values of a dimension that are decoded: closer together where many codes are.

    They are quantiles of a mixture, half the codes and half uniform over the span.
    """
    even = np.linspace(*span, len(codes))
    pool = np.concatenate([even, np.clip(codes, *span)])
    return np.quantile(pool, np.linspace(0, 1, size)).tolist()


def _lattice(
    layer: MovedLayer,
    rest: np.ndarray,
    dims: np.ndarray,
    axes: Sequence[Axis],
    labels: Sequence[int],
) -> np.ndarray:
    """The decoded codes of the lattice, for each label, as `Explored.lattice`."""
    values = [axis.values for axis in axes]
    points = np.stack(np.meshgrid(*values, indexing="ij"), axis=-1)
    codes = np.tile(rest, (points[..., 0].size, 1))
    codes[:, dims] = points.reshape(-1, len(axes))
    if labels:
        given = [np.full(len(codes), label, np.int32) for label in labels]
        images = np.stack([layer.decode(codes, label) for label in given])
    else:
        images = layer.decode(codes, None)[None]
    return images.reshape(len(images), *points.shape[:-1], *images.shape[2:])


def _labels(layer: MovedLayer, dataset: Dataset) -> dict[int, str]:
    """Number and name of what a decoder can be given; empty if it is given nothing."""
    if not layer.num_classes and layer.trained.conditions_on is None:
        return {}
    known, names = dataset.labels, dataset.class_names
    numbers = even_rows(len(known), MOST_LABELS).tolist()
    return {n: names[known[n]] if names else str(known[n]) for n in numbers}


def _with_second_axis(explored: Explored) -> Explored:
    """Codes of one dimension on a map: the other is 0 everywhere, and has no name."""
    (axis,) = explored.axes
    half = (axis.values[-1] - axis.values[0]) / 2

    def padded(rows: np.ndarray, value: float) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, 1)), constant_values=value)

    return dataclasses.replace(
        explored,
        axes=[axis, Axis("", [-half, half])],
        lattice=np.stack([explored.lattice] * 2, axis=2),
        means=padded(explored.means, 0.0),
        variances=padded(explored.variances, 1.0),
        draws=padded(explored.draws, 0.0),
    )
