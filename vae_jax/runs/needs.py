"""What a training needs of memory at the least, from the numbers of its config.

Parameters with their gradient and the optimiser's state, the activations that a
gradient needs, the images and the rows of a chunk of steps. It is arithmetic: it traces
nothing, so it costs nothing, and takes numbers of any size.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from vae_jax import build
from vae_jax.data.dataset import Dataset

FLOAT = 4  # bytes
KERNEL = 16  # pixels of a convolution's kernel; of the decoder's, 2x2 for 2x2 pixels


class Size(NamedTuple):
    """A number that memory grows with, and how a user knows it."""

    name: str  # "model.latent_dim=16"
    number: int

    def times(self, factor: int) -> "Size":
        """The same, for several of it."""
        return Size(self.name, self.number * factor)


class Need(NamedTuple):
    """Memory for one thing: the product of the sizes, times the bytes of each."""

    what: str
    sizes: Sequence[Size]
    each: int

    @property
    def bytes(self) -> int:
        return self.each * math.prod(size.number for size in self.sizes)


class Layers(NamedTuple):
    """Of a model.

    Attributes:
        weights: of each matrix the sizes whose product counts it.
        encoded: what each layer gives for an image.
        decoded: what each layer gives for a code.
    """

    weights: list[list[Size]]
    encoded: list[Size]
    decoded: list[Size]


def needs(config: ConfigDict, dataset: Dataset | None, members: int) -> Iterator[Need]:
    """Everything that is there at the same time.

    Args:
        config: a config that `build.check` has passed.
        dataset: its images; None before they are loaded, when a batch of images of
            data.image_size is counted, and everything else for one image.
        members: runs that are computed side by side.

    Yields:
        One need after the other.
    """
    data, train = config.data, config.train
    batch = _size(config, "data.batch_size")
    height, width = sides(data.image_size)
    if dataset is None:
        shape = (max(1, height), max(1, width), 1)
        square = [_size(config, "data.image_size", side) for side in (height, width)]
        if height:
            channels = 1 if data.grayscale else 3
            yield Need("a batch of images", [batch, *square], channels)
        pixels = _size(config, "data.image_size", math.prod(shape))
        batch = batch._replace(number=1)
    else:
        shape = dataset.image_shape
        name = f"images of {'x'.join(map(str, shape))} in data.name={data.name}"
        pixels = Size(name, math.prod(shape))
        budget = _size(
            config, "data.device_budget_mb", int(data.device_budget_mb * 1e6)
        )
        there = min(budget.number, dataset.train.images.nbytes)
        yield Need("the training images", [budget._replace(number=there)], 1)
    together = Size(f"{members} members side by side (--members_per_program)", members)
    layers = layers_of(config, pixels, shape)
    moments = 0 if config.optimizer.name == "sgd" else 2
    copies = 2 + moments + bool(config.optimizer.ema_decay)  # 2: with the gradient
    what = "parameters and what the optimiser keeps beside them"
    for sizes in layers.weights:
        yield Need(what, [together, *sizes], FLOAT * copies)
    samples = _size(config, "objective.num_samples")
    what, each = "activations of a step", 2 * FLOAT  # and the gradient by them
    for outputs in layers.encoded:
        yield Need(what, [together, batch, outputs], each)
    for outputs in layers.decoded:
        yield Need(what, [together, batch, samples, outputs], each)
    ends = ("log_every", "num_steps", "eval_every", "checkpoint_every")
    length = min(train[name] for name in ends if train[name])
    chunk = _size(config, "train.log_every", length)
    # One chunk runs, the next is on its way.
    yield Need("rows of the batches of a chunk of steps", [chunk, batch], 2 * FLOAT)


def layers_of(config: ConfigDict, pixels: Size, shape: Sequence[int]) -> Layers:
    """The sizes of a model's layers, biases and the like left out.

    Args:
        config: its model part is read.
        pixels: H W C, as a user knows it.
        shape: (H, W, C).

    Returns:
        Weights and activations.
    """
    model = config.model
    code = _size(config, "model.latent_dim")
    moments = code.times(1 if model.posterior == "deterministic" else 2)
    features = build.make_likelihood(config).num_features(shape[-1])
    out = pixels._replace(number=math.prod(shape[:-1]) * features)
    if model.network == "conv":
        found = _convolutional(config, pixels, (code, moments), out, shape)
    else:
        hidden = [_size(config, "model.hidden_dims", n) for n in model.hidden_dims]
        gates = _size(config, "model.network", 2 if model.network == "gated" else 1)
        down, up = _chain(pixels, *hidden), _chain(code, *hidden[::-1])
        found = Layers(
            [
                *([gates, *matrix] for matrix in [*down, *up]),
                [hidden[-1], moments],
                [hidden[0], out],
            ],
            [*hidden, moments],
            [*hidden, out],
        )
    upper = [
        _size(config, "model.upper_latent_dims", n) for n in model.upper_latent_dims
    ]
    between = [
        _size(config, "model.upper_hidden_dims", n) for n in model.upper_hidden_dims
    ]
    weights = found.weights
    for below, above in _chain(code, *upper):
        weights += _chain(below, *between, above.times(2))
        weights += _chain(above, *between[::-1], below.times(2))
    components = _size(config, "model.prior_components")
    if model.prior == "mixture":
        weights.append([components, [code, *upper][-1].times(2)])
    if model.prior == "vamp":
        weights.append([components, pixels])
    return found


def sides(image_size: object) -> tuple[int, int]:
    """Height and width of `data.image_size`; 0 where images stay as they are."""
    if isinstance(image_size, int):
        return image_size, image_size
    if isinstance(image_size, tuple | list) and len(image_size) == 2:
        return int(image_size[0]), int(image_size[1])
    return 0, 0


def _convolutional(
    config: ConfigDict,
    pixels: Size,
    codes: tuple[Size, Size],
    out: Size,
    shape: Sequence[int],
) -> Layers:
    """Each layer halves height and width, or doubles them."""
    code, moments = codes
    channels = [_size(config, "model.channels", n) for n in config.model.channels]
    hidden = _size(config, "model.conv_hidden_dim")
    height, width = shape[:2]
    maps = []
    for depth in channels:
        height, width = -(-height // 2), -(-width // 2)
        maps.append(depth.times(height * width))
    kernels = _chain(pixels._replace(number=shape[-1]), *channels)
    last = pixels._replace(number=out.number // math.prod(shape[:2]))
    kernels += _chain(*channels[::-1], last)
    return Layers(
        [
            *([a.times(KERNEL), b] for a, b in kernels),
            [maps[-1], hidden],
            [hidden, moments],
            [code, hidden],
            [hidden, maps[-1]],
        ],
        [*maps, hidden, moments],
        [hidden, *maps, out],
    )


def _size(config: ConfigDict, field: str, number: int | None = None) -> Size:
    """A size that a field sets: the field's value, or a number that follows from it."""
    part, name = field.split(".")
    value = config[part][name]
    return Size(f"{field}={value}", value if number is None else number)


def _chain(*sizes: Size) -> list[list[Size]]:
    """The matrices of a chain of dense layers."""
    return [[a, b] for a, b in zip(sizes, sizes[1:], strict=False)]
