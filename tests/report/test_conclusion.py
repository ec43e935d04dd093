"""The sentences of a report: made from numbers and their errors, and honest of both."""

import pytest

from tests.report.test_compare import WEIGHT
from vae_jax.evaluation import measures
from vae_jax.quantities import sections
from vae_jax.report import compare
from vae_jax.report.conclusion import conclude, told_apart


def rows_of(settings, spread=0.1, seeds=3):
    """Rows whose means are given; their standard error is spread / sqrt(3)."""
    return [
        {"name": f"{w},{s}", WEIGHT: w, "seed": s, "real_coverage": 0.95}
        | {key: value + spread * (s - 1) for key, value in numbers.items()}
        for w, numbers in settings.items()
        for s in range(seeds)
    ]


def sentences(rows, swept=(WEIGHT,)):
    groups = compare.settings(rows, swept)
    names = dict(zip(groups, compare.setting_names(groups, swept), strict=True))
    keys = compare.result_keys(rows, swept)
    return conclude(names, sections(measures.quantities(), keys), swept)


def test_the_best_of_each_kind():
    rows = rows_of(
        {
            0.0: {"elbo": -272.0, "distortion": 65.0, "coverage": 0.095},
            1.0: {"elbo": -112.0, "distortion": 78.0, "coverage": 0.38},
            2.0: {"elbo": -114.0, "distortion": 91.0, "coverage": 0.40},
        },
        spread=0.002,
    )
    assert sentences(rows) == [
        "Best ELBO: kl_weight 1, −112.0000 ± 0.0012 nats.",
        "Most coverage of held-out images: kl_weight 2, 0.4000 ± 0.0012 (real images:"
        " 0.95).",
        "Best reconstruction: kl_weight 0, distortion 65.0000 ± 0.0012 nats."
        " kl_weight 0 cannot generate: its draws from the prior cover 0.0950 ± 0.0012,"
        " against 0.4000 ± 0.0012 of kl_weight 2.",
    ]


def test_what_errors_overlap_cannot_be_told_apart():
    rows = rows_of(
        {
            0.5: {"elbo": -112.15},
            1.0: {"elbo": -112.0},
            2.0: {"elbo": -113.0},
            4.0: {"elbo": -112.05},
        }
    )
    (sentence,) = sentences(rows)
    assert sentence == (
        "Best ELBO: kl_weight 1, −112.00 ± 0.06 nats; kl_weight 4 (−112.05 ± 0.06) and"
        " kl_weight 0.5 (−112.15 ± 0.06) cannot be told apart from it."
    )


@pytest.mark.parametrize(("gap", "apart"), [(0.16, False), (0.17, True)])
def test_apart_is_more_than_two_standard_errors_of_the_difference(gap, apart):
    # 2 * sqrt(2) * 0.1 / sqrt(3) = 0.163
    groups = compare.settings(
        rows_of({0.0: {"nll": 1.0}, 1.0: {"nll": 1 + gap}}), [WEIGHT]
    )
    assert told_apart(*groups, "nll") is apart


def test_of_many_ties_three_are_named():
    rows = rows_of({float(w): {"coverage": 0.5 - 1e-4 * w} for w in range(9)})
    (sentence,) = sentences(rows)
    assert "kl_weight 3 (0.50 ± 0.06) and 5 more cannot be told apart" in sentence


def test_a_single_run_has_no_error_and_the_page_says_so():
    rows = rows_of({0.0: {"elbo": -2.0}, 1.0: {"elbo": -1.0}}, seeds=1)
    best, caution = sentences(rows)
    assert best.startswith("Best ELBO: kl_weight 1, −1.1 nats.")
    assert "no standard error" in caution


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("model.likelihood", ("bernoulli", "normal")),
        ("model.condition", ("none", "label")),  # log p(x | y) is no log p(x)
    ],
)
def test_what_bounds_other_densities_is_not_compared_by_the_elbo(field, words):
    rows = [
        {
            "name": word,
            field: word,
            "seed": s,
            "elbo": e,
            "distortion": -e,
            "coverage": c,
        }
        for word, e, c in zip(words, (-100.0, 900.0), (0.2, 0.3), strict=True)
        for s in range(2)
    ]
    caution, coverage = sentences(rows, (field,))
    assert f"{field} can't be compared" in caution
    name = f"{field.rpartition('.')[2]} {words[1]}"
    assert coverage.startswith(f"Most coverage of held-out images: {name}")


def test_what_is_missing_is_not_spoken_of():
    rows = rows_of({0.0: {"distortion": 3.0}, 1.0: {"distortion": 4.0}})
    assert sentences(rows) == [
        "Best reconstruction: kl_weight 0, distortion 3.00 ± 0.06 nats."
    ]
    for row in rows:
        row["distortion"] = None
    assert sentences(rows) == []
