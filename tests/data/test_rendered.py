"""Images that are drawn from factors, in a batch as on their own."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from tests.runs_helpers import small_config
from vae_jax import build
from vae_jax.data import sources
from vae_jax.data.batches import (
    InMemoryBatches,
    binarization_noise,
    preprocessor,
)
from vae_jax.data.dataset import Dataset, Split, to_unit_floats
from vae_jax.data.description import describe
from vae_jax.data.dsprites import SPRITES
from vae_jax.data.examples import IMAGE
from vae_jax.data.fixed_draw import fixed_draw
from vae_jax.data.rendered import RenderedImages, Rendering, drawn
from vae_jax.data.source import Loaded, Source
from vae_jax.data.streaming import StreamedBatches
from vae_jax.data.xysquares import SQUARES
from vae_jax.errors import ContractError
from vae_jax.runs.run_data import split_of

KEY = jax.random.key(0)
SPRITE_IMAGES = jax.jit(SPRITES.render)
RENDERINGS = {"dsprites": SPRITES, "xysquares": SQUARES}


def rows_of(rendering: Rendering, count: int) -> np.ndarray:
    """Random rows of factors, [count, F]."""
    sizes = list(rendering.factors.values())
    rng = np.random.default_rng(0)
    return rng.integers(0, sizes, (count, len(sizes))).astype(np.uint8)


def small_set(monkeypatch) -> Dataset:
    """60 sprites as a data set of the name `few`."""
    factors = rows_of(SPRITES, 60)
    images = RenderedImages(factors, SPRITES)
    split = Split(images, factors[:, 0].astype(np.int32), factors=factors)
    loaded = Loaded({"train": split}, factor_names=tuple(SPRITES.factors))
    source = Source(lambda name, options: loaded, render=SPRITES.render)
    monkeypatch.setitem(sources.BY_NAME, "few", source)
    return sources.load_dataset("few")


def test_the_published_frames_are_drawn_pixel_for_pixel(raw_data):
    """253 of the 254 that differ from each other, and 2 pixels of the other one."""
    archive = np.load(raw_data / "dsprites_frames" / "frames.npz")
    frames = np.unpackbits(archive["bits"], axis=1).reshape(-1, 64, 64, 1)
    found = np.asarray(RenderedImages(archive["labels"], SPRITES)) // 255
    _, first = np.unique(frames.reshape(len(frames), -1), axis=0, return_index=True)
    wrong = (found != frames).sum(axis=(1, 2, 3))[first]
    assert len(wrong) == 254
    assert (wrong == 0).sum() >= 253
    assert wrong.sum() <= 2


def test_a_pixel_does_not_depend_on_how_it_is_compiled():
    """Alone or in a batch, and with or without jit."""
    for rendering in RENDERINGS.values():
        rows = rows_of(rendering, 40)
        render = rendering.render
        images = np.asarray(jax.jit(render)(rows))
        assert (images.shape, images.dtype) == ((40, *rendering.image_shape), np.uint8)
        assert set(np.unique(images)) == {0, 255}
        one = jax.jit(lambda row, render=render: drawn(render, row))
        alone = np.stack([one(row) for row in rows])
        np.testing.assert_array_equal(alone, images)
        np.testing.assert_array_equal(jax.vmap(one)(jnp.asarray(rows)), images)
        np.testing.assert_array_equal(render(jnp.asarray(rows)), images)
        np.testing.assert_array_equal(RenderedImages(rows, rendering), images)


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (2, 3)])
def test_any_number_of_images_is_drawn_as_at_once(shape):
    """In two halves, one of which is padded where the number is odd."""
    rows = rows_of(SPRITES, np.prod(shape))
    images = jax.jit(lambda rows: drawn(SPRITES.render, rows))(rows.reshape(*shape, -1))
    assert images.shape == (*shape, *SPRITES.image_shape)
    whole = np.asarray(SPRITE_IMAGES(rows))
    np.testing.assert_array_equal(images.reshape(whole.shape), whole)


def test_a_sprite_has_the_size_and_place_of_its_factors():
    """Areas and centres of gravity, and the two angles that are the same."""
    whole = 4 * 9.598**2, np.pi * 12.7735 * 7.2245
    rows = np.array([[s, k, o, 5, 20] for s in (0, 1) for k in (0, 5) for o in (4, 7)])
    images = np.asarray(SPRITE_IMAGES(rows))[..., 0] // 255
    for (shape, scale, *_), image in zip(rows, images, strict=True):
        area = whole[shape] * np.linspace(0.5, 1, 6)[scale] ** 2
        assert image.sum() == pytest.approx(area, rel=0.05)
        y, x = (axis.mean() + 0.5 for axis in np.nonzero(image))
        assert (x, y) == pytest.approx((16 + 32 * 5 / 31, 16 + 32 * 20 / 31), abs=0.3)
    ends = np.asarray(SPRITE_IMAGES(np.array([[2, 3, 0, 9, 9], [2, 3, 39, 9, 9]])))
    np.testing.assert_array_equal(*ends)
    # The heart is upright: its tip below, its notch above.
    heart = np.asarray(SPRITE_IMAGES(np.array([[2, 5, 0, 16, 16]])))[0, ..., 0] > 0
    widths = heart.sum(axis=1)[heart.any(axis=1)]
    assert widths[-1] < 4 and widths[1] > 4


def test_squares_stand_where_their_factors_say():
    images = np.asarray(jax.jit(SQUARES.render)(np.array([[0, 7, 2, 2, 7, 0]])))[0]
    expected = np.zeros((64, 64, 3), np.uint8)
    for channel, (column, row) in enumerate([(0, 7), (2, 2), (7, 0)]):
        expected[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, channel] = 255
    np.testing.assert_array_equal(images, expected)


def test_the_sets_hold_each_combination_once():
    for name, (classes, total) in {
        "dsprites": (3, 737_280),
        "xysquares": (None, 262_144),
    }.items():
        dataset = sources.load_dataset(name)
        rendering = RENDERINGS[name]
        splits = dataset.splits.values()
        rows = np.concatenate([split.factors for split in splits]).astype(np.int64)
        sizes = tuple(rendering.factors.values())
        places = np.ravel_multi_index(tuple(rows.T), sizes)
        np.testing.assert_array_equal(np.sort(places), np.arange(total))
        spec = dataset.spec
        assert (spec.factor_sizes, spec.num_classes) == (sizes, classes)
        assert spec.factor_names == tuple(rendering.factors)
        assert (spec.image_shape, spec.levels) == (rendering.image_shape, "binary")
        assert sum(split.images.nbytes for split in splits) == rows.size  # a byte each
    assert "with 6 factors (x_r 8, y_r 8, x_g 8," in describe(dataset)


def test_rows_are_taken_without_drawing():
    rows = rows_of(SPRITES, 700)
    images = RenderedImages(rows, SPRITES)
    assert (images.shape, images.ndim, len(images)) == ((700, 64, 64, 1), 4, 700)
    every = np.asarray(images)
    for index in (slice(3, 600, 7), np.array([5, 5, 1]), rows[:, 0] == 2, slice(0)):
        some = images[index]
        assert isinstance(some, RenderedImages)
        np.testing.assert_array_equal(some, every[index])
    floats = to_unit_floats(images[:3])
    np.testing.assert_array_equal(floats, every[:3] / np.float32(255))
    assert binarization_noise(images) == 0
    for index in (3, (slice(None), 0)):
        with pytest.raises(TypeError, match="taken by rows, not by"):
            images[index]
    with pytest.raises(ValueError, match="have no pixels to share"):
        np.array(images, copy=False)


def test_a_step_sees_the_images_of_its_rows(monkeypatch):
    """In memory, streamed and in an evaluation; beside them, other parts."""
    dataset = small_set(monkeypatch)
    config = small_config(**{"data.name": "few", "data.binarize": "none"})
    preprocess = build.make_preprocess(config)
    given = dataset.examples("train", ("image", "factors"))
    assert given["image"].dtype == np.uint8
    np.testing.assert_array_equal(given["image"], given["factors"])
    examples, rows = InMemoryBatches(given, seed=4, batch_size=5)(0, 3, 3)
    rows = np.asarray(rows)
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[rows[1]], examples)
    compiled = jax.jit(preprocess)
    x = compiled(batch, KEY)
    pixels = to_unit_floats(dataset.train.images[rows[1]])
    np.testing.assert_array_equal(x["image"], pixels)
    device = SingleDeviceSharding(jax.devices()[0])
    streamed = StreamedBatches(
        given, seed=4, batch_size=5, num_steps=3, read_ahead=2, sharding=device
    )
    chunk, _ = streamed(1, 1, 1)
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], chunk)
    np.testing.assert_array_equal(compiled(one, KEY)["image"], pixels)
    measured = split_of(config, dataset, IMAGE, "test")
    some = np.array([4, 0])
    wanted = to_unit_floats(dataset.test.images[some])
    np.testing.assert_array_equal(measured.x(some), wanted)
    assert measured.factors.dtype == np.int32


def test_an_evaluation_binarises_what_is_drawn_as_it_does_pixels():
    rows, order = jnp.asarray(rows_of(SPRITES, 6)), jnp.arange(6)
    grey = types.SimpleNamespace(render=jax.jit(lambda row: SPRITES.render(row) // 2))
    draw = fixed_draw(preprocessor("dynamic", render=grey.render), KEY)
    seen = fixed_draw(preprocessor("dynamic"), KEY)(grey.render(rows), order)
    np.testing.assert_array_equal(draw(rows, order), seen)


def test_the_fingerprint_is_that_of_factors_and_name(monkeypatch):
    first = small_set(monkeypatch)
    assert small_set(monkeypatch).fingerprint == first.fingerprint
    test = Split(first.test.images[::-1], first.test.labels, factors=first.test.factors)
    changed = Dataset("few", first.train, first.validation, test)
    named = Dataset("other", first.train, first.validation, first.test)
    prints = [data.fingerprint for data in (first, changed, named)]
    assert len(set(prints)) == 3


def test_a_source_that_draws_gives_what_it_draws(monkeypatch):
    dataset = small_set(monkeypatch)
    loaded = Loaded({"train": dataset.train})
    for render in (None, SQUARES.render):
        source = Source(lambda name, options: loaded, render=render)
        monkeypatch.setitem(sources.BY_NAME, "few", source)
        with pytest.raises(ContractError, match="the source of few gives images that"):
            sources.load_dataset("few")
