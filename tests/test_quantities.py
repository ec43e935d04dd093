"""The meaning of numbers: each key once, whole, and the same wherever it is read."""

import pytest

from tests import quantity_tables
from vae_jax.quantities import Group, Quantity, is_reference, keys_of, one, sections
from vae_jax.runs import finish

ALL = finish.quantities()


def test_every_key_has_one_meaning():
    keys = keys_of(ALL)
    assert len(set(keys)) == len(keys)
    others = ["active_units_layer1", "mine", "mine_layer1"]
    found = sections(ALL, [*keys, *others])
    shown = [key for section in found for key in keys_of(section.quantities)]
    assert sorted(shown) == sorted([*keys, *others])
    titles = [section.group.title for section in found]
    assert len(set(titles)) == len(titles)
    drawn = [section.group.drawn for section in found]
    assert drawn == sorted(drawn, reverse=True)  # what is in tables only comes last
    assert titles[drawn.index(False) - 1] == "Other numbers"


def test_what_there_is_not_is_left_out():
    (section,) = sections(ALL, ["coverage", "real_coverage"])
    (quantity,) = section.quantities
    assert list(quantity.lines) == ["coverage", "real_coverage"]
    assert is_reference("real_coverage") and is_reference("mutual_information_cap")
    assert not is_reference("coverage")


def test_whatever_is_drawn_says_what_it_means_and_its_range():
    unclear = [
        quantity.title
        for quantity in ALL
        if not quantity.meaning.endswith(".")
        or (quantity.group.drawn and not (quantity.span or quantity.unit))
    ]
    assert not unclear


def test_an_error_is_a_number_of_its_own():
    assert {quantity.error for quantity in ALL} - {""} <= set(keys_of(ALL))


def test_the_best_values_are_those_that_are_called_good():
    for quantity in ALL:
        if quantity.good.startswith("larger"):
            assert quantity.best == "largest", quantity.title
        if (
            quantity.good.startswith(("smaller", "near 0,"))
            or quantity.good == "near 0"
        ):
            assert quantity.best == "smallest", quantity.title
        if quantity.scale == "share" and quantity.good.startswith("near 1"):
            assert quantity.best == "largest", quantity.title
        assert quantity.good or not quantity.best, quantity.title


@pytest.mark.parametrize(("unit", "label"), [("", "Rate"), ("nats", "Rate, nats")])
def test_the_label_of_an_axis(unit, label):
    assert Quantity("Rate", "", one("rate"), Group("Fit"), unit=unit).label == label


@pytest.mark.parametrize("page", quantity_tables.PAGES, ids=lambda page: page.name)
def test_the_docs_hold_these_meanings(page):
    """`python -m tests.quantity_tables` brings them up to date."""
    text = page.read_text("utf-8")
    assert quantity_tables.BLOCK.search(text)
    assert quantity_tables.filled(text) == text


def test_the_docs_hold_every_number():
    text = "".join(page.read_text("utf-8") for page in quantity_tables.PAGES)
    assert [key for key in keys_of(ALL) if f"`{key}`" not in text] == []
