"""Examples with labels and factors go the same way as images alone."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from tests.data.test_spec import FACTORS, IMAGES, dataset
from tests.runs_helpers import small_config
from vae_jax.data import examples as ex
from vae_jax.data import sources
from vae_jax.data.batches import InMemoryBatches, preprocessor
from vae_jax.data.dataset import Split
from vae_jax.data.fixed_draw import fixed_draw
from vae_jax.data.source import Loaded, Source
from vae_jax.data.spec import DataSpec
from vae_jax.data.streaming import StreamedBatches
from vae_jax.errors import ContractError, DataError
from vae_jax.runs.run_data import split_of
from vae_jax.training.chunks import ChunkInput, compile_chunk
from vae_jax.training.step import Trainer

KEY, B = jax.random.key(0), 5
LABELS = 2015 + np.arange(60) % 3
WHOLE = dataset(np.where(np.arange(60) % 7, LABELS, -1), FACTORS)
ALL = ("image", "label", "factors")
GIVEN = WHOLE.examples("train", ALL)


def same(a, b):
    """Equal trees of equal arrays of equal dtypes."""
    jax.tree.map(np.testing.assert_array_equal, a, b)
    dtypes = (jax.tree.map(lambda leaf: leaf.dtype, tree) for tree in (a, b))
    assert next(dtypes) == next(dtypes)


def test_a_model_is_given_what_it_asks_for():
    """And one that asks for nothing is given the array of images, uncopied."""
    assert WHOLE.examples("train") is WHOLE.train.images
    assert ex.inputs(object()) == ("image",)
    numbers = np.where(np.arange(60) % 7, np.arange(60) % 3, -1).astype(np.int32)
    wanted = {"image": IMAGES[50:], "label": numbers[50:]}
    asking = types.SimpleNamespace(inputs=["image", "label"])
    same(WHOLE.examples("test", ex.inputs(asking)), wanted)
    same(GIVEN["factors"], FACTORS[:40].astype(np.int32))
    for names in (("imge",), ("label",), ("image", "name")):
        with pytest.raises(ContractError, match="must be image, and label or factors"):
            ex.inputs(types.SimpleNamespace(inputs=names))


@pytest.mark.parametrize(
    ("labels", "name", "message"),
    [
        (None, "label", "made: the model is given a label .* but no image has a label"),
        (np.arange(60), "label", "but there are 60 labels for 40 training images"),
        (LABELS, "factors", "given the factors of each image, but none are known"),
    ],
)
def test_what_the_data_lack_is_said(labels, name, message):
    with pytest.raises(DataError, match=message):
        dataset(labels).examples("train", ("image", name))


def test_shapes_are_those_of_preprocessed_examples():
    for names in (("image",), ("image", "label"), ALL):
        batch = ex.take(WHOLE.examples("train", names), np.arange(B))
        x = preprocessor("dynamic")(jax.tree.map(jnp.asarray, batch), KEY)
        shapes = ex.abstract_x(WHOLE.spec, names, B)
        assert jax.tree.map(jax.typeof, x) == jax.tree.map(jax.typeof, shapes)
        zeros = ex.zeros_x(WHOLE.spec, names, B)
        assert jax.tree.map(jax.typeof, zeros) == jax.tree.map(jax.typeof, shapes)


def test_only_images_are_preprocessed_and_with_the_same_draws():
    given = jax.tree.map(jnp.asarray, GIVEN)
    preprocess, rows = preprocessor("dynamic"), jnp.arange(40)
    images = given["image"]
    same(preprocess(given, KEY), {**given, "image": preprocess(images, KEY)})
    draw = fixed_draw(preprocess, KEY)
    same(draw(given, rows), {**given, "image": draw(images, rows)})


def test_a_stream_gives_all_parts_as_memory_does():
    order = {"seed": 4, "batch_size": B}
    device = SingleDeviceSharding(jax.devices()[0])
    streamed = StreamedBatches(
        GIVEN, **order, num_steps=12, read_ahead=3, sharding=device
    )
    in_memory = InMemoryBatches(GIVEN, **order)
    for start in (3, 6, 0):
        examples, rows = in_memory(start, 3, 3)
        same(streamed(start, 3, 3)[0], ex.take(examples, rows))


def test_the_loop_hands_all_parts_to_the_step():
    def step(state, x, key, hparams):
        total = (x["label"].sum() + x["factors"].sum()) + x["image"].sum()
        return state + total, {"loss": total}

    run = compile_chunk(Trainer(None, step, None), preprocessor())
    examples, rows = InMemoryBatches(GIVEN, seed=4, batch_size=B)(0, 3, 3)
    batches = ex.take(GIVEN, np.asarray(rows))
    wanted = sum(leaf.sum() for leaf in (batches["label"], batches["factors"]))
    wanted += batches["image"].sum() / 255
    for data in ((examples, rows), (batches, None)):
        given = ChunkInput(*data, np.int32(0), np.int32(3), KEY)
        state, _ = run(jnp.zeros(1), given, KEY[None], {})
        assert float(state[0]) == pytest.approx(wanted, rel=1e-6)


def test_an_evaluation_gives_a_model_what_it_asks_for():
    config, rows = small_config(), np.array([3, 0])
    plain = split_of(config, WHOLE, ("image",), "test").x(rows)
    seen = split_of(config, WHOLE, ("image", "label"), "test").x(rows)
    same(seen, {"image": plain, "label": np.int32([2, 2])})


def made(monkeypatch, **changes):
    """Loads a source of a user's own, that knows the factors of its images."""

    def read(name, options):
        assert name == "shapes:60" and options.grayscale
        splits = {"train": Split(IMAGES, LABELS, factors=FACTORS)}
        splits["test"] = Split(IMAGES[:9], LABELS[:9], factors=FACTORS[:9])
        for split, factors in changes.items():
            splits[split] = Split(IMAGES[:9], factors=factors)
        return Loaded(splits, notes=("made",))

    source = Source(read, path="file", resizes=True)
    monkeypatch.setitem(sources.BY_NAME, "shapes", source)
    return sources.load_dataset("shapes:60", grayscale=True)


def test_a_line_in_the_table_makes_a_source_known(monkeypatch):
    found = made(monkeypatch)
    assert found.spec == DataSpec((4, 3, 1), "8bit", 54, 3, (3, 5))
    for split, source in ((found.train, FACTORS), (found.validation, FACTORS)):
        np.testing.assert_array_equal(split.factors, source[split.rows])
    np.testing.assert_array_equal(found.test.factors, FACTORS[:9])
    assert (found.notes, sources.without_path("shapes:60")) == (("made",), "shapes:")
    with pytest.raises(DataError, match="mean 'shapes:PATH'. Valid are .* shapes:PATH"):
        sources.load_dataset("shapse")


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (None, "shapes:60: the factors of test are none; they must be whole numbers"),
        (FACTORS[:9, :1], r"of test are int64 \(9, 1\), .*; .* \[9, F\], with one F"),
        (FACTORS[:8], r"of test are int64 \(8, 2\)"),
        (FACTORS[:9] - 1, "whole numbers from 0"),
        (FACTORS[:9] / 2, "of test are float64"),
    ],
)
def test_factors_of_another_form_are_refused(monkeypatch, factors, message):
    with pytest.raises(DataError, match=message):
        made(monkeypatch, test=factors)
