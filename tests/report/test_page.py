import base64
import csv
import html
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from PIL import Image

from vae_jax import as_text
from vae_jax.errors import ConfigError, DataError, StorageError
from vae_jax.evaluation import measures
from vae_jax.report import page_pictures, page_tables
from vae_jax.report.page import write_report

WEIGHT, LIKELIHOOD = "hparams.kl_weight", "model.likelihood"
CONFIG = {"seed": 0, "objective": {"kl_weight": 1.0, "name": "elbo"}}
DASH = "–"


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags = []  # with their attributes
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += data + " "

    def images(self):
        return [a for tag, a in self.tags if tag == "img" and "src" in a]


def folder_with_figures(path, names=("samples", "latent_map")):
    (path / "figures").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (1200, 900), "teal").save(path / "figures" / f"{name}.png")
    return path


def rows_of(field, values, seeds=2):
    return [
        {
            "name": f"{field.rpartition('.')[2]}={value},seed={seed}",
            field: value,
            "seed": seed,
            "elbo": -100.0 - i - seed / 3,
            "rate": 20.0 + i,
            "distortion": 80.0 - i,
        }
        for i, value in enumerate(values)
        for seed in range(seeds)
    ]


def report(tmp_path, rows, swept, *, title="kl", config=CONFIG, commands=("make",)):
    folders = [tmp_path / "members" / row["name"] for row in rows]
    path = write_report(
        tmp_path / "out",
        rows,
        folders,
        quantities=measures.quantities(),
        swept=swept,
        config=config,
        commands=commands,
        title=title,
    )
    return path, path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A report with a failed run and a value that is missing."""
    tmp_path = tmp_path_factory.mktemp("weights")
    rows = rows_of(WEIGHT, [0.0, 1.0, 4.0])
    rows[1] = {k: rows[1][k] for k in ("name", WEIGHT, "seed")} | {"failed_at_step": 77}
    rows[4]["rate"] = None
    for row in rows:
        folder_with_figures(tmp_path / "members" / row["name"])
    path, text = report(tmp_path, rows, [WEIGHT])
    return path, text, rows


def test_the_files_are_there(weights):
    path, _, rows = weights
    for name in ("elbo", "rate", "distortion", "rate_distortion"):
        ET.parse(path.parent / "figures" / f"{name}.svg")
    with open(path.parent / "results.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == [row["name"] for row in rows]
    with open(path.parent / "summary.csv", newline="", encoding="utf-8") as file:
        assert [line[WEIGHT] for line in csv.DictReader(file)] == ["0.0", "1.0", "4.0"]


def test_one_file_holds_all(weights):
    _, text, _ = weights
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag != "link" or attributes["href"] == "data:,"
        for name in ("src", "href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:"))
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|//[a-z]+\.[a-z]+", text)


def test_pictures_are_images_and_small(weights):
    _, text, _ = weights
    images = Page(text).images()
    assert [image["alt"] for image in images] == [
        f"{kind}, kl_weight {weight}"
        for kind in ("Samples from the prior", "Latent map")
        for weight in (0, 1, 4)
    ]
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/webp;base64"
        decoded = Image.open(io.BytesIO(base64.b64decode(data)))
        width = page_pictures.WIDTH
        assert decoded.size == (width, width * 3 // 4)


def test_charts_are_part_of_the_page(weights):
    _, text, _ = weights
    tags = Page(text).tags
    labels = [a["aria-label"] for tag, a in tags if tag == "svg"]
    assert labels == ["Distortion against rate of each setting"] + [
        f"{title} of each setting" for title in ("ELBO", "Rate", "Distortion")
    ]
    assert "<title>kl_weight 1\nELBO: −101.17 ± 0.17 nats</title>" in text


def test_what_it_shows_comes_first(weights):
    _, text, _ = weights
    places = [
        text.index(part)
        for part in (
            "<h1>",
            "<li>Best ELBO: kl_weight 0, −100 nats.</li>",
            '<table class="sortable">',
            "Distortion against rate of each setting",
            "Samples from the prior, kl_weight 0",
            '<section id="fit">',
        )
    ]
    assert places == sorted(places)


def test_headings_say_what_they_mean_and_what_is_best(weights):
    _, text, _ = weights
    assert (
        '<th scope="col" data-best="largest"><button type="button" title="A lower'
        " bound of log p(x): minus rate, minus distortion. Range: up to 0 for discrete"
        ' pixels. Good: larger is better.">ELBO</button> <small>nats</small></th>'
    ) in text
    assert '<th scope="col" data-best="smallest"><button' in text


def test_pictures_are_of_the_first_seed_that_finished(tmp_path):
    rows = rows_of(WEIGHT, [1.0], seeds=3)
    rows[0]["failed_at_step"] = 5
    folder_with_figures(tmp_path / "members" / rows[1]["name"], ["samples"])
    _, text = report(tmp_path, rows, [WEIGHT])
    (sample,) = Page(text).images()
    assert sample["alt"] == "Samples from the prior, kl_weight 1"


def test_of_more_settings_than_pictures_it_says_so(tmp_path):
    values = [float(i) for i in range(page_pictures.MAX_SHOWN + 3)]
    rows = rows_of(WEIGHT, values, seeds=1)
    for row in rows:
        folder_with_figures(tmp_path / "members" / row["name"])
    _, text = report(tmp_path, rows, [WEIGHT])
    assert "Of 12 of the 15 settings, the first seed." in Page(text).text


def test_failures_are_shown(weights):
    _, text, rows = weights
    shown = Page(text).text
    assert "1 failed" in shown
    assert f"{rows[1]['name']} failed at step 77: its loss was not finite." in shown
    assert "1 of 2" in shown
    assert "1 of 2 failed" in shown


def test_a_setting_of_which_every_run_failed(tmp_path):
    rows = rows_of(WEIGHT, [1.0, 2.0])
    for row in rows[2:]:
        for key in ("elbo", "rate", "distortion"):
            del row[key]
        row["failed_at_step"] = 3
    _, text = report(tmp_path, rows, [WEIGHT])
    assert "2 of 2 failed" in Page(text).text
    assert "0 of 2" in Page(text).text


def test_missing_values_are_dashes(weights):
    _, text, _ = weights
    cells = re.findall(r'<td data-value="([^"]*)">([^<]*)', text)
    assert ("", DASH) in cells
    assert all((value == "") == (shown == DASH) for value, shown in cells)


def test_an_autoencoder_has_no_rate(tmp_path):
    rows = rows_of(WEIGHT, [0.0, 1.0], seeds=1)
    for row in rows:
        row["elbo"] = row["rate"] = None
        row["posterior_variance"] = 0.0
    path, text = report(tmp_path, rows, [WEIGHT])
    figures = sorted(file.name for file in (path.parent / "figures").iterdir())
    assert figures == ["distortion.svg", "posterior_variance.svg"]
    assert "Distortion against rate" not in text


def test_no_setting_has_both_a_rate_and_a_distortion(tmp_path):
    rows = rows_of(WEIGHT, [0.0, 1.0], seeds=1)
    del rows[0]["rate"], rows[1]["distortion"]
    path, _ = report(tmp_path, rows, [WEIGHT])
    figures = sorted(file.stem for file in (path.parent / "figures").iterdir())
    assert figures == ["distortion", "elbo", "rate"]


def test_words_on_the_axis(tmp_path):
    rows = rows_of(LIKELIHOOD, ["bernoulli", "logistic_mixture"])
    path, text = report(tmp_path, rows, [LIKELIHOOD])
    assert (path.parent / "figures" / "elbo.svg").is_file()
    assert "model.likelihood: bernoulli, logistic_mixture" in Page(text).text


def test_runs_that_do_not_differ(tmp_path):
    rows = rows_of(WEIGHT, [1.0])
    for row in rows:
        del row[WEIGHT]
    path, text = report(tmp_path, rows, [])
    assert [file.name for file in (path.parent / "figures").iterdir()] == [
        "rate_distortion.svg"
    ]
    assert "kl_weight=1.0 " in Page(text).text


def test_texts_are_escaped(tmp_path):
    evil = "<script>alert('&')</script>"
    rows = rows_of(LIKELIHOOD, [evil, "<b>"], seeds=1)
    rows[0]["failed_at_step"] = 1
    for row in rows:
        row["name"] = row["name"].replace("/", "_")
    config = {"data": {"name": f"folder:{evil}"}}
    _, text = report(
        tmp_path, rows, [LIKELIHOOD], title=evil, config=config, commands=[evil]
    )
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "b" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) >= 3
    assert f"<title>{html.escape(evil, quote=False)}".replace("'", "&#39;") in text


def test_config_and_commands(weights):
    _, text, _ = weights
    shown = re.sub(r"\s+", " ", Page(text).text)
    assert "kl_weight 0, 1, 4" in shown  # what was swept rather than the default
    assert 'name "elbo"' in shown
    assert "make" in shown


def test_a_report_is_replaced(tmp_path):
    rows = rows_of(WEIGHT, [1.0, 2.0], seeds=1)
    report(tmp_path, rows, [WEIGHT], title="first")
    _, text = report(tmp_path, rows, [WEIGHT], title="second")
    assert "<h1>second</h1>" in text
    assert "<h1>first</h1>" not in text
    assert not list((tmp_path / "out").glob("**/*.tmp"))


def test_no_run_is_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="out holds a run: choose another"):
        report(tmp_path, rows_of(WEIGHT, [1.0]), [WEIGHT])
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["config.json"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="out can't be written: .*Not a directory"):
        report(tmp_path, rows_of(WEIGHT, [1.0]), [WEIGHT])
    assert (tmp_path / "out").read_text() == "a file"


def test_it_leads_to_the_explorer_where_there_is_one(tmp_path):
    rows = rows_of(WEIGHT, [1.0], seeds=1)
    link = '<a href="explorer.html">'
    assert link not in report(tmp_path, rows, [WEIGHT])[1]
    (tmp_path / "out" / "explorer.html").write_text("a page")
    assert link in report(tmp_path, rows, [WEIGHT])[1]


def test_a_page_of_many_runs_is_bounded(tmp_path):
    field, rate = "hparams.kl_weight", "hparams.learning_rate"
    rows = [
        {"name": f"</script> {i}", field: i // 50, rate: i % 50, "seed": 0}
        | {"elbo": -100.0 - i / 7, "rate": 20.0 + i, "distortion": 80.0 - i / 7}
        for i in range(3000)
    ]
    rows[5]["elbo"] = None
    rows[7] = {key: rows[7][key] for key in ("name", field, rate, "seed")}
    rows[7]["failed_at_step"] = 3
    path, text = report(tmp_path, rows, [field, rate], commands=["make"] * 3000)
    page = Page(text)
    assert len(text) < 1e6
    with open(path.parent / "results.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    with open(path.parent / "summary.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    most = page_tables.PAGE_ROWS
    assert [tag for tag, _ in page.tags].count("tr") < 2 * most + 20
    assert (
        f"{most} of 3,000 settings, those with the best ELBO; summary.csv" in page.text
    )
    assert "128 of 3,000 settings are drawn here, spread evenly" in page.text
    assert "... 2,980 more commands, one for each run" in page.text
    assert "0, 1, 2, 3, 4, 5, 6, ..., 59 (60 values)" in page.text
    (stored,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
    values = json.loads(stored)
    assert len(values) == len(rows) and {len(row) for row in values} == {8}
    assert values[10] == [
        "</script> 10",
        "finished",
        "0",
        "10",
        "0",
        -101.429,
        30.0,
        78.5714,
    ]
    assert values[5][5] is None and values[7][1] == "failed at step 3"


def test_a_damaged_figure_is_named(tmp_path):
    rows = rows_of(WEIGHT, [1.0], seeds=1)
    folder = folder_with_figures(tmp_path / "members" / rows[0]["name"])
    (folder / "figures" / "samples.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="samples.png is damaged"):
        report(tmp_path, rows, [WEIGHT])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-269.7079, "−269.7"),
        (1.617e-5, "1.617e−5"),
        (652824, "652,824"),
        (22706.16, "22,706"),
        (0.0, "0"),
        (1e30, "1e+30"),
        (9999.7, "10,000"),
        (9999.4, "9999"),
        (999.97, "1000"),
        (0.99997, "1"),
        (None, DASH),
    ],
)
def test_numbers_in_few_digits(value, text):
    assert as_text.few_digits(value) == text


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (-112.0039, 0.082, ("−112.00", "0.08")),
        (-134.07, 0.25, ("−134.07", "0.25")),
        (0.27, 0.0068, ("0.270", "0.007")),
        (1.0, 0.96, ("1.0", "1.0")),
        (652824.0, 1234.0, ("652,800", "1,200")),
        (5.866e-5, 1.23e-6, ("5.87e−5", "0.12e−5")),
        (-0.001, 0.02, ("−0.001", "0.020")),
        (20.0, 0.0, ("20", "0")),
        (0.1, 1e-17, ("0.1", "0")),
    ],
)
def test_an_error_says_how_many_digits_a_number_has(value, error, texts):
    assert as_text.with_error(value, error) == texts
