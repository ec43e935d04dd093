import gzip

import matplotlib
import numpy as np
import pytest
from PIL import Image

from vae_jax.errors import DataError
from vae_jax.report import latent_plots, layer_plots, plots, style
from vae_jax.report.images import image_grid


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figure.png"


def picture(path):
    """The written PNG as RGB, [H, W, 3] in [0, 255]."""
    return np.asarray(Image.open(path).convert("RGB"))


def random_images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def test_grid_layout():
    a, b, c = (np.full((2, 1, 1), value, np.float32) for value in (0.1, 0.2, 0.3))
    grid = image_grid(np.stack([a, b, c]), columns=2, pad=1)
    expected = [
        [0.1, 1.0, 0.2],
        [0.1, 1.0, 0.2],
        [1.0, 1.0, 1.0],
        [0.3, 1.0, 1.0],
        [0.3, 1.0, 1.0],
    ]
    np.testing.assert_allclose(grid[..., 0], expected, rtol=1e-6)
    assert grid.shape == (5, 3, 1)


@pytest.mark.parametrize(
    ("count", "columns", "pad", "shape"),
    [
        (1, None, 1, (4, 5)),
        (5, None, 1, (9, 17)),  # 2 x 3
        (9, None, 0, (12, 15)),
        (4, 4, 2, (4, 26)),
        (2, 5, 1, (4, 29)),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_grid_shape(count, columns, pad, shape, channels):
    images = random_images(count, 4, 5, channels)
    assert image_grid(images, columns, pad).shape == (*shape, channels)


def test_values_outside_the_unit_interval_are_clipped():
    images = np.array([-3.0, 0.25, 7.0]).reshape(3, 1, 1, 1)
    grid = image_grid(images, columns=3, pad=0)
    np.testing.assert_array_equal(grid.ravel(), [0.0, 0.25, 1.0])


BAD_IMAGES = {
    "no channels": (np.zeros((2, 4, 4)), r"shape \[2, 4, 4\], not \[N,H,W,C\]"),
    "two channels": (np.zeros((2, 4, 4, 2)), "with C = 1 or 3"),
    "none": (np.zeros((0, 4, 4, 1)), r"shape \[0, 4, 4, 1\]"),
    "bytes": (np.full((2, 4, 4, 1), 255, np.uint8), "uint8 up to 255: scale to 0..1"),
    "nan": (np.full((2, 4, 4, 1), np.nan), "not finite"),
}


@pytest.mark.parametrize(("images", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_what_is_not_images_is_refused(path, images, message):
    for draw in (image_grid, lambda x: plots.samples(x, path)):
        with pytest.raises(DataError, match=message):
            draw(images)
    with pytest.raises(DataError, match=message):
        plots.reconstructions(images, images, path)
    assert not path.exists()


def test_an_image_is_drawn_pixel_by_pixel(path):
    """Every image pixel is a whole square of screen pixels, nothing is blurred."""
    images = random_images(4, 6, 7, 1)
    plots.samples(images, path)
    grid = (image_grid(images, 2)[..., 0] * 255).round().astype(int)
    scale = round(style.WIDTH * style.DPI / max(grid.shape))
    drawn = picture(path).astype(int)
    large = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width = large.shape
    rows, columns = np.where((drawn != 255).any(axis=-1))
    left = columns[rows > drawn.shape[0] // 2].min()
    top = rows.max() - height + 1
    found = drawn[top : top + height, left : left + width, 0]
    assert np.abs(found - large).max() <= 1


def test_binary_and_boolean_images_are_shown(path):
    plots.samples(np.ones((2, 3, 3, 1), bool), path)
    plots.samples(np.ones((2, 3, 3, 1), np.int32), path)


SHAPES = [(8, 8, 1), (5, 9, 3), (28, 28, 1), (64, 64, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_picture_of_images_is_written(tmp_path, shape):
    many = random_images(11, *shape)
    lines = random_images(3, 4, *shape)
    plots.reconstructions(many, many, tmp_path / "1.png")
    plots.samples(many, tmp_path / "2.png")
    latent_plots.interpolations(lines, tmp_path / "3.png")
    latent_plots.traversals(lines, ["z[0]", "z[12]", "z[3]"], tmp_path / "4.png")
    latent_plots.latent_grid(random_images(3, 3, *shape), tmp_path / "5.png")
    plots.every_label(many[:3], lines, tmp_path / "6.png", [7, 8, 9, 10])
    for number in range(1, 7):
        height, width, _ = picture(tmp_path / f"{number}.png").shape
        assert 300 < height < 2500
        assert 300 < width < 2500
    assert len(list(tmp_path.iterdir())) == 6


def test_reconstructions_stand_below_their_data(path):
    data = np.zeros((9, 4, 4, 3), np.float32)
    model = data.copy()
    data[..., 0], model[..., 2] = 1.0, 1.0  # red above blue
    plots.reconstructions(data, model, path)
    drawn = picture(path)
    red = (drawn == [255, 0, 0]).all(axis=-1)
    blue = (drawn == [0, 0, 255]).all(axis=-1)
    assert red.sum() == blue.sum() > 0
    column = np.flatnonzero(red.any(axis=0))[0]
    order = [
        "red" if red[y, column] else "blue"
        for y in range(len(drawn))
        if red[y, column] or blue[y, column]
    ]
    changes = [a for a, b in zip(order, order[1:] + [""], strict=True) if a != b]
    assert changes == ["red", "blue", "red", "blue"]


def test_what_the_model_saw_stands_between_data_and_model_where_it_differs(path):
    data = np.zeros((9, 4, 4, 3), np.float32)
    seen, model = data.copy(), data.copy()
    data[..., 0], seen[..., 1], model[..., 2] = 1.0, 1.0, 1.0
    plots.reconstructions(data, model, path, seen=seen)
    drawn = picture(path)
    colours = {"red": [255, 0, 0], "green": [0, 255, 0], "blue": [0, 0, 255]}
    column = np.flatnonzero((drawn == colours["green"]).all(axis=-1).any(axis=0))[0]
    order = [
        name
        for pixel in drawn[:, column]
        for name, colour in colours.items()
        if (pixel == colour).all()
    ]
    changes = [a for a, b in zip(order, order[1:] + [""], strict=True) if a != b]
    assert changes == ["red", "green", "blue"] * 2
    plots.reconstructions(data, model, path, seen=data + np.float32(1e-7))
    alone = picture(path)
    plots.reconstructions(data, model, path)
    np.testing.assert_array_equal(picture(path), alone)


def test_shapes_that_do_not_fit_together(path):
    one, lines = random_images(2, 4, 4, 1), random_images(3, 4, 5, 5, 1)
    with pytest.raises(DataError, match=r"\[2, 4, 4, 1\] and \[1, 4, 4, 1\]"):
        plots.reconstructions(one, one[:1], path)
    with pytest.raises(DataError, match=r"\[2, 4, 4, 1\] and \[2, 3, 4, 1\] and"):
        plots.reconstructions(one, one, path, seen=one[:, :3])
    with pytest.raises(DataError, match=r"\[2, 4, 4, 1\] and \[3, 4, 5, 5, 1\]"):
        plots.every_label(one, lines, path)
    with pytest.raises(DataError, match="2 labels for 3 rows"):
        latent_plots.traversals(lines, ["a", "b"], path)
    with pytest.raises(DataError, match="square, not 3 x 4"):
        latent_plots.latent_grid(lines, path)
    with pytest.raises(DataError, match=r"not \[R,T,H,W,C\]"):
        latent_plots.interpolations(one, path)


@pytest.mark.parametrize(
    "labels", [None, np.arange(30) % 3, np.arange(30), np.zeros(30), ["a", "b"] * 15]
)
def test_latent_map(path, labels):
    points = np.random.default_rng(0).normal(size=(30, 2))
    latent_plots.latent_map(points, labels, path, ("first", "second"))
    with_circles = picture(path)
    latent_plots.latent_map(
        points, labels, path, ("first", "second"), prior_circles=False
    )
    assert with_circles.shape == picture(path).shape
    assert (with_circles != picture(path)).any()


def test_classes_have_their_own_colours(path):
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    latent_plots.latent_map(points, np.array([7, 8, 9]), path, prior_circles=False)
    colors = {tuple(c) for c in picture(path).reshape(-1, 3)}
    for color in style.PALETTE[:3]:
        rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
        assert rgb in colors  # in the legend, where nothing is transparent


def test_points_without_a_label_are_grey_and_no_class():
    points = np.random.default_rng(0).normal(size=(40, 2))
    labels = np.repeat([-1, 10_000_000, 2015, -7], 10)
    figures = [
        latent_plots.latent_map(points, own) for own in (labels, np.full(40, -1))
    ]
    named = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert named == ["2015", "10000000"]
    grey = figures[0].axes[0].collections[0]
    assert len(grey.get_offsets()) == 20
    assert not figures[1].legends
    assert len(figures[1].axes[0].collections[0].get_offsets()) == 40


def test_ten_thousand_labels_have_a_colour_bar():
    points = np.random.default_rng(0).normal(size=(10_000, 2))
    figure = latent_plots.latent_map(points, 10_000_000 + np.arange(10_000))
    bar = figure.axes[1].get_yticklabels()
    assert [tick.get_text() for tick in bar] == ["10000000", "10009999"]
    assert not figure.legends


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.zeros((3, 3)), None, r"shape \[3, 3\], not \[N,2\]"),
        (np.zeros((0, 2)), None, r"shape \[0, 2\]"),
        (np.full((3, 2), np.inf), None, "not finite"),
        (np.zeros((3, 2)), np.zeros(2), r"3 points but labels of shape \(2,\)"),
    ],
)
def test_odd_maps(path, points, labels, message):
    with pytest.raises(DataError, match=message):
        latent_plots.latent_map(points, labels, path)


def test_kl_bars_are_sorted_and_counted():
    figure = latent_plots.kl_per_dimension(np.array([0.0, 3.0, 0.005, 1.0]))
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [3.0, 1.0, 0.005, 0.0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "3", "2", "0"]
    assert "2 of 4 above 0.01 nats" in axes.get_title()
    assert axes.get_ylabel() == "nats"


def test_kl_of_many_dimensions_and_odd_input(path):
    latent_plots.kl_per_dimension(np.linspace(0, 1, 300), path)
    assert picture(path).shape[1] == round(style.WIDTH * style.DPI)
    for kl in (np.zeros((2, 2)), np.zeros(0), np.array([np.nan])):
        with pytest.raises(DataError, match="kl must be finite numbers"):
            latent_plots.kl_per_dimension(kl, path)


def test_training_curves():
    records = [
        {"step": step, "train/elbo": -1e6 if step < 10 else -100.0 - step, "lr": 1}
        for step in range(1, 101)
    ]
    records += [{"step": 100, "eval/elbo": -199.0, "eval/rate": 25.0}]
    records[50]["train/elbo"] = None
    elbo, rate = plots.training_curves(records).axes
    train, evaluation = elbo.get_lines()
    assert len(train.get_xdata()) == 100
    assert np.isnan(train.get_ydata()).sum() == 1
    assert evaluation.get_ydata() == [-199.0]
    assert -220 < elbo.get_ylim()[0] < -200  # the first steps are out of the frame
    assert -110 < elbo.get_ylim()[1] < -90
    assert elbo.get_legend().get_texts()[0].get_text() == (
        "train (means over steps), last −200"
    )
    assert elbo.get_ylabel() == rate.get_ylabel() == "nats"
    assert rate.get_xlabel() == "step"


def test_the_rounding_of_a_constant_is_not_drawn():
    rates = [50.0, 50.00001, 50.0]
    figure = plots.training_curves(
        [{"step": t, "train/rate": r} for t, r in enumerate(rates)]
    )
    low, high = figure.axes[0].get_ylim()
    assert low < 49.96 and high > 50.04


def test_training_curves_of_little(path):
    plots.training_curves([{"step": 1, "train/elbo": 2.0}], path)
    plots.training_curves([{"step": 0, "train/elbo": None}], path)
    for records in ([], [{"step": 1, "train/loss": 3.0}]):
        with pytest.raises(DataError, match="no record holds"):
            plots.training_curves(records, path)


def test_every_plot_returns_its_figure(tmp_path, monkeypatch):
    """Without a path there is no file."""
    monkeypatch.chdir(tmp_path)
    many, lines = random_images(4, 5, 5, 1), random_images(2, 3, 5, 5, 1)
    kl = np.array([0.5, 0.001])
    figures = [
        plots.reconstructions(many, many),
        plots.samples(many),
        plots.samples(many, labels=[3, 4, 3, 4]),
        plots.samples(many, labels=[3] * 4),
        plots.image_rows(many),
        plots.every_label(many[:2], lines, labels=[3, 4, 5]),
        plots.training_curves([{"step": 1, "train/elbo": 2.0}]),
        latent_plots.interpolations(lines),
        latent_plots.traversals(lines, ["a", "b"]),
        latent_plots.latent_grid(random_images(2, 2, 5, 5, 1)),
        latent_plots.latent_map(random_images(9, 2)),
        latent_plots.kl_per_dimension(kl),
        layer_plots.samples(dict(enumerate(lines))),
        layer_plots.kl_per_layer(kl),
    ]
    assert {type(figure) for figure in figures} == {style.NotebookFigure}
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_what_a_file_holds_at_half_its_size(path):
    formatter = pytest.importorskip("IPython.core.formatters").PNGFormatter()
    png, metadata = formatter(plots.samples(random_images(4, 5, 5, 1), path))
    assert png == path.read_bytes()
    assert abs(metadata["width"] - picture(path).shape[1] / 2) <= 1


def test_rows_of_images_have_names():
    figure = plots.image_rows(
        random_images(6, 5, 5, 1), title="all", columns=3, names=["one", "two"]
    )
    [axes] = figure.axes
    assert axes.get_title() == "all"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["one", "two"]
    assert axes.images[0].get_array().shape[:2] == (11, 17)


def test_many_samples_of_a_label_have_rows():
    labels = [3] * 11 + [4] * 2
    (axes,) = plots.samples(random_images(13, 5, 5, 1), labels=labels).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["3", "", "4"]
    assert axes.images[0].get_array().shape[:2] == (3 * 6 - 1, 10 * 6 - 1)


def test_no_global_state_is_touched(path):
    before = dict(matplotlib.rcParams)
    plots.samples(random_images(2, 3, 3, 1), path)
    latent_plots.kl_per_dimension(np.ones(3), path)
    assert dict(matplotlib.rcParams) == before


def test_real_digits(raw_data, path):
    with gzip.open(raw_data / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + 16 * 784), np.uint8, offset=16)
    digits = pixels.reshape(16, 28, 28, 1) / 255
    plots.reconstructions(digits, digits, path)
    assert len(np.unique(picture(path))) > 100


def test_names_of_classes_do_not_hide_each_other():
    points = np.random.default_rng(0).normal(size=(600, 2)) * [1, 100]
    classes = np.arange(600) % 10  # all medians are near the origin
    places = latent_plots.name_places(points, classes)
    shares = (places[:, None] - places) / np.ptp(points, axis=0)
    gaps = np.linalg.norm(shares, axis=2)[~np.eye(10, dtype=bool)]
    assert gaps.min() >= latent_plots.NAME_GAP
    np.testing.assert_array_equal(places[0], np.median(points[::10], axis=0))
    same = latent_plots.name_places(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(same, np.zeros((2, 2)))
