"""The charts of a report: what stands where, and what a mark says."""

import re
import xml.etree.ElementTree as ET

import pytest

from tests.report.test_compare import WEIGHT, rows_of
from vae_jax.quantities import Group, Quantity, one
from vae_jax.report import axes, charts, compare, plane, svg
from vae_jax.report.arrangement import arrange

ELBO = Quantity("ELBO", "", one("elbo"), Group("Fit"), unit="nats")
COVERAGE = {"coverage": "prior", "codes_coverage": "codes", "real_coverage": "real"}


def laid_out(rows, swept=(WEIGHT,)):
    groups = compare.settings(rows, swept)
    names = dict(zip(groups, compare.setting_names(groups, swept), strict=True))
    return groups, arrange(groups, swept), names


def marks_of(chart):
    """Place and title of each mark that stands for a setting."""
    found = []
    for mark in chart.findall("g[@class]"):
        place = re.fullmatch(r"translate\((\S+) (\S+)\)", mark.get("transform"))
        if "\n" in mark.find("title").text:
            found.append((*map(float, place.groups()), mark.find("title").text))
    return found


def numbers_beside(chart):
    """Place -> number, of the ticks of the y axis."""
    return [
        (float(text.get("y")) - 4.5, float(text.text.replace("−", "-")))
        for text in chart.findall("text[@text-anchor='end']")
        if text.get("x")
    ]


def test_a_mark_stands_at_its_value_on_the_axis():
    groups, layout, names = laid_out(rows_of())
    chart = charts.against_setting(ELBO, layout, names)
    (y1, v1), *_, (y2, v2) = numbers_beside(chart)
    marks = marks_of(chart)
    assert len(marks) == 3
    for (_, y, title), group in zip(marks, groups, strict=True):
        value = v1 + (y - y1) * (v2 - v1) / (y2 - y1)
        assert value == pytest.approx(group.mean("elbo"), abs=0.1)
        weight = compare.exact(group.values[WEIGHT])
        assert (
            title == f"kl_weight {weight}\nELBO: {compare.amount(group, 'elbo')} nats"
        )
        assert " ± " in title
    assert [x for x, _, _ in marks] == sorted(x for x, _, _ in marks)


def test_an_error_is_as_long_as_twice_the_standard_error():
    groups, layout, names = laid_out(rows_of(weights=(0.0, 1.0)))
    chart = charts.against_setting(ELBO, layout, names)
    (y1, v1), *_, (y2, v2) = numbers_beside(chart)
    scale = (v2 - v1) / (y2 - y1)
    bars = [e for e in chart.iter("line") if "error" in e.get("class")]
    lengths = [
        abs(float(bar.get("y2")) - float(bar.get("y1")))
        for bar in bars
        if bar.get("x1") == bar.get("x2")
    ]
    for length, group in zip(lengths, groups, strict=True):
        error = group.standard_error("elbo")
        assert length * abs(scale) == pytest.approx(2 * error, rel=0.02)


@pytest.mark.parametrize("scale", ["linear", "log", "share"])
@pytest.mark.parametrize("key", ["elbo", "rate", "nothing"])
def test_charts_are_drawn_whatever_the_values(scale, key):
    rows = rows_of()
    for row in rows[:3]:  # as an autoencoder's
        row[key] = 0.0
    _, layout, names = laid_out(rows)
    quantity = Quantity("Title", "", one(key), Group("Fit"), scale=scale)
    text = svg.markup(charts.against_setting(quantity, layout, names))
    assert "nan" not in text and "inf" not in text
    width, height = map(float, ET.fromstring(text).get("viewBox").split()[2:])
    for element in ET.fromstring(text).iter("line"):
        for name, most in (
            ("x1", width),
            ("x2", width),
            ("y1", height),
            ("y2", height),
        ):
            assert -1 <= float(element.get(name)) <= most + 1


def test_sources_and_lines_have_panels_and_a_reference_is_drawn_once():
    rows = [
        {"name": "", "a": a, "b": b, "seed": 0}
        | dict.fromkeys(COVERAGE, 0.1 * a + b / 9)
        for a in (1, 2)
        for b in (1, 2)
    ]
    _, layout, names = laid_out(rows, ("a", "b"))
    quantity = Quantity("Coverage", "", COVERAGE, Group("Draws"), scale="share")
    chart = charts.against_setting(quantity, layout, names)
    assert len(marks_of(chart)) == 8  # two sources of two lines with two values
    texts = [element.text for element in chart.iter("text")]
    assert texts.count("prior") == texts.count("codes") == 1  # titles of the panels
    assert texts.count("b 1") == texts.count("b 2") == 1  # the legend
    _, layout, names = laid_out([row for row in rows if row["b"] == 1], ("a",))
    chart = charts.against_setting(quantity, layout, names)
    lines = [e for e in chart.iter("path") if "reference" in (e.get("class") or "")]
    assert len(lines) == 2  # one across the chart, one in the legend


def test_a_share_and_a_logarithm():
    share = axes.numeric([0.2, 0.4], 100, 0, "share")
    assert (share(0.0) - share(1.0)) == pytest.approx(100 / 1.08)
    assert [text for _, text in share.texts] == ["0", "0.25", "0.5", "0.75", "1"]
    log = axes.numeric([1e-5, 1e-2, 1.0], 0, 100, "log")
    assert log(1e-3) - log(1e-4) == pytest.approx(log(1.0) - log(0.1))
    with_zero = axes.numeric([0.0, 1e-4, 1.0], 0, 100, "log")
    assert 0 < with_zero(0.0) < with_zero(1e-4) < with_zero(1e-3) < 100
    assert with_zero.ticks[0] == 0.0
    narrow = axes.numeric([10.0, 20.0], 0, 100, "log")
    assert narrow(15.0) == pytest.approx((narrow(10.0) + narrow(20.0)) / 2)
    alike = axes.numeric([20.0, 20.0], 100, 0)
    assert alike.low <= 0  # no zoom on a number that all share


def test_an_axis_is_cut_before_few_values_far_away_only():
    rates = [204.0, 35.0, 26.0, 17.0, 9.0]
    whole, cut = axes.numeric(rates, 0, 100), axes.cut(rates, 0, 100)
    assert cut.is_beyond(204.0) and not any(map(cut.is_beyond, rates[1:]))
    assert cut(35.0) - cut(9.0) > 3 * (whole(35.0) - whole(9.0))
    assert cut(35.0) < cut.edge < cut(204.0) < 100
    low = axes.cut([-272.0, -149.0, -124.0, -105.0], 0, 100)
    assert low(-272.0) < low.edge < low(-149.0)
    for values in ([1.0, 2.0, 4.0, 8.0], [1.0, 100.0], [3.0], [], [5.0, 5.0, 5.0]):
        assert axes.cut(values, 0, 100).beyond is None


def test_a_count_begins_at_0_and_is_not_cut():
    whole = axes.numeric([16.0, 16.0, 15.5, 1.0], 0, 100, "count")
    assert whole.low <= 0 and whole.beyond is None and 0.0 in whole.ticks


def test_values_beyond_a_cut_axis_are_written_once_at_a_place():
    bounds = [(46.0, 59.0), (7.4, 7.5), (0.3, 0.4), (0.1, 0.2)]
    rows = [
        {"name": f"{w}", WEIGHT: w, "seed": 0, "kl": high, "kl_low": low}
        for w, (low, high) in zip((0.0, 1.0, 2.0, 4.0), bounds, strict=True)
    ]
    lines = {"kl": "upper bound", "kl_low": "lower bound"}
    quantity = Quantity("KL", "", lines, Group("Codes"), unit="nats")
    _, layout, names = laid_out(rows)
    chart = charts.against_setting(quantity, layout, names)
    texts = [element.text for element in chart.iter("text")]
    assert "46 to 59" in texts and not {"46", "59"} & set(texts)


def test_a_rate_beyond_the_axis_is_named_though_a_neighbour_is_near():
    points = [(205, 73), (60, 74), (25, 87), (8, 126), (0.6, 194)]
    rows = [
        {"name": f"{w}", WEIGHT: w, "seed": 0, "elbo": -r - d, "rate": r}
        | {"distortion": d}
        for w, (r, d) in zip((0.0, 0.1, 1.0, 4.0, 16.0), points, strict=True)
    ]
    groups, layout, names = laid_out(rows)
    chart = plane.rate_distortion(layout, names, groups[2])
    texts = {element.text for element in chart.iter("text")}
    assert {"0 (rate 205)", "0.1", "1, best ELBO", "4", "16"} <= texts
    assert "ELBO −0" not in texts


def test_rate_and_distortion_lie_on_their_line_of_equal_elbo():
    rows = [
        {
            "name": str(w),
            WEIGHT: w,
            "seed": 0,
            "rate": r,
            "distortion": d,
            "elbo": -r - d,
        }
        for w, r, d in ((0.0, 204.0, 65.0), (0.5, 35.0, 70.0), (1.0, 26.0, 76.0))
        + ((2.0, 12.0, 91.0), (4.0, 8.0, 115.0))
    ]
    groups, layout, names = laid_out(rows)
    chart = plane.rate_distortion(layout, names, groups[2])
    marks = marks_of(chart)
    assert (
        marks[2][2]
        == "kl_weight 1\nELBO: −102 nats\nrate: 26 nats\ndistortion: 76 nats"
    )
    texts = {element.text for element in chart.iter("text")}
    assert {"1, best ELBO", "0 (rate 204)", "0.5", "2", "4"} <= texts
    # Points and lines are in one plane: each line has the slope of equal sums.
    (xa, ya, _), (xb, yb, _) = marks[1], marks[4]
    per_rate, per_distortion = (xb - xa) / (8 - 35), (yb - ya) / (115 - 70)
    equal = [e for e in chart.iter("line") if e.get("class") == "equal"]
    assert len(equal) > 2
    for line in equal:
        (x1, x2), (y1, y2) = (
            [float(line.get(f"{c}{i}")) for i in (1, 2)] for c in "xy"
        )
        change = (x2 - x1) / per_rate + (y2 - y1) / per_distortion
        assert change == pytest.approx(0, abs=1)


def test_a_chart_is_a_file_of_its_own(tmp_path):
    _, layout, names = laid_out(rows_of())
    svg.write(charts.against_setting(ELBO, layout, names), tmp_path / "elbo.svg")
    root = ET.parse(tmp_path / "elbo.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = root.find("{http://www.w3.org/2000/svg}style").text
    assert "prefers-color-scheme: dark" in style
    used = set(re.findall(r"var\((--\w+)\)", style))
    assert used <= set(re.findall(r"(--\w+):", style))


def test_texts_of_a_chart_are_escaped():
    evil = "<script>alert('&')</script>"
    rows = [{"name": evil, "a": evil, "seed": 0, "elbo": -1.0}]
    rows.append({"name": "b", "a": "b", "seed": 0, "elbo": -2.0})
    _, layout, names = laid_out(rows, ("a",))
    text = svg.markup(charts.against_setting(ELBO, layout, names))
    assert "<script" not in text and "&lt;script&gt;" in text
