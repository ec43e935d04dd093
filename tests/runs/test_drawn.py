"""A run on images that are drawn is that on the same images as pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.runs.test_single import same_outcome
from tests.runs_helpers import sigterm_after, small_config
from vae_jax.data import sources
from vae_jax.data.dataset import Split, to_unit_floats
from vae_jax.data.rendered import RenderedImages, Rendering
from vae_jax.data.source import Loaded, Source
from vae_jax.evaluation.chunks import even_rows
from vae_jax.report import figures
from vae_jax.runs import opened, own_images, single
from vae_jax.runs.codes import codes_of_split
from vae_jax.runs.run_data import split_of
from vae_jax.storage.records import read_json

SIZES = {"row": 8, "column": 8, "level": 4}


def render(factors):
    """A bright row and a bright column, in one of four greys."""
    row, column, level = jnp.moveaxis(factors, -1, 0)
    line = jnp.arange(8)
    cross = (line[None, :, None] == row[:, None, None]) | (
        line[None, None, :] == column[:, None, None]
    )
    return (cross * (level[:, None, None] + 1) * 60).astype(jnp.uint8)[..., None]


SHORT = {"train.num_steps": 20, "train.eval_every": 0}
CROSSES = Rendering(render, (8, 8, 1), "8bit", SIZES)
FACTORS = CROSSES.combinations()


def read(name, options):
    """All crosses; their level is the label."""
    split = Split(RenderedImages(FACTORS, CROSSES), FACTORS[:, 2], factors=FACTORS)
    return Loaded({"train": split}, factor_names=tuple(SIZES))


@pytest.fixture(scope="module", autouse=True)
def known():
    """The source `crosses`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sources.BY_NAME, "crosses", Source(read, render=render))
        yield


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    """Folders of a run on crosses that are drawn, and of one on their pixels."""
    folder = tmp_path_factory.mktemp("runs")
    pixels = np.asarray(RenderedImages(FACTORS, CROSSES))
    labels = FACTORS[:, 2].astype(int)
    arrays = {"x_train": pixels, "y_train": labels, "factors_train": FACTORS}
    np.savez(folder / "a.npz", **arrays, factor_names=list(SIZES))
    train_both(folder)
    return folder


def train_both(folder, **fields):
    """Trains `folder/drawn` and `folder/pixels`, alike but for the form of the data."""
    names = {"drawn": "crosses", "pixels": f"npz:{folder / 'a.npz'}"}
    for place, name in names.items():
        config = small_config(**{"data.name": name, **SHORT, **fields})
        single.train(config, folder / place)


def test_drawn_equals_stored_bit_for_bit(workdirs):
    """Parameters and results; of the data only the fingerprint is another."""
    same_outcome(workdirs / "drawn", workdirs / "pixels")
    data = [read_json(workdirs / name / "data.json") for name in ("drawn", "pixels")]
    assert data[0]["factor_names"] == list(SIZES)
    for own in data:
        del own["name"], own["fingerprint"]
    assert data[0] == data[1]


def test_a_stream_and_a_stop_change_nothing(workdirs, tmp_path):
    """The training set of 205 crosses has three bytes each, a batch 48."""
    fields = {"data.name": "crosses", **SHORT}
    with sigterm_after(1):
        streamed = {**fields, "data.device_budget_mb": 0.0005}
        single.train(small_config(**streamed), tmp_path)
    single.train(small_config(**fields), tmp_path)
    same_outcome(workdirs / "drawn", tmp_path)


def test_an_opened_run_takes_pixels(workdirs, tmp_path):
    """Of the set and of a user's own: both are images, and neither is drawn again."""
    run, stored = (opened.open_run(workdirs / name) for name in ("drawn", "pixels"))
    images = run.dataset().test.images
    pixels = np.asarray(images)
    for given in (images, pixels):
        np.testing.assert_array_equal(run.preprocess(given), run.preprocess(pixels))
        np.testing.assert_array_equal(
            run.encode(given).mean, stored.encode(pixels).mean
        )
        codes = run.reconstruct(given)
        np.testing.assert_array_equal(codes["x"], run.preprocess(pixels))
    np.savez(tmp_path / "own.npz", x_test=pixels)
    own = own_images.read_images(run, tmp_path / "own.npz")
    again = run.reconstruct(own.images)
    np.testing.assert_array_equal(again["code"], codes["code"])
    np.testing.assert_array_equal(run.sample(4), stored.sample(4))


def test_codes_come_with_their_factors(workdirs):
    run = opened.open_run(workdirs / "drawn")
    codes = codes_of_split(run, "test")
    split = run.dataset().test
    np.testing.assert_array_equal(codes["factors"], split.factors)
    np.testing.assert_array_equal(codes["factors"], FACTORS[codes["rows"]])
    np.testing.assert_array_equal(codes["labels"], codes["factors"][:, 2])
    assert codes["factor_names"].tolist() == list(SIZES)


@pytest.mark.slow
def test_measures_and_pictures_are_the_same(workdirs, monkeypatch):
    """The finished runs are evaluated again, with all that looks at images.

    The pictures are of images spread over the test split, whose rows are in order.
    """
    spaces, draw_all = [], figures.draw_all

    def draw(space, *rest):
        spaces.append(space)
        draw_all(space, *rest)

    monkeypatch.setattr(figures, "draw_all", draw)
    measures = ("likelihood", "codes", "regularity")
    train_both(workdirs, **{"eval.measures": measures, "eval.figures": True})
    same_outcome(workdirs / "drawn", workdirs / "pixels")
    drawn, stored = (
        {path.name: path.read_bytes() for path in (workdirs / name).rglob("*.png")}
        for name in ("drawn", "pixels")
    )
    assert drawn == stored and len(drawn) > 3
    run, space = opened.open_run(workdirs / "drawn"), spaces[0]
    test, rows = run.dataset().test, even_rows(26, 16)
    assert test.factors[rows, 0].max() == test.factors[:, 0].max()
    np.testing.assert_array_equal(space.images, to_unit_floats(test.images[rows]))
    seen = split_of(run.config, run.dataset(), run.inputs, "test").x(rows)
    np.testing.assert_array_equal(space.seen, seen)
