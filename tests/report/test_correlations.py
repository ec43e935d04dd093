"""Rank correlations of a report, against scipy."""

import numpy as np
import pytest
from scipy import stats

from tests.report.test_page import WEIGHT, Page, report
from vae_jax.evaluation import measures
from vae_jax.quantities import sections
from vae_jax.report import correlations

RNG = np.random.default_rng(0)


def rows_of(num):
    rows = []
    for i in range(num):
        good = RNG.normal()
        rows.append(
            {
                "name": f"run {i}",
                WEIGHT: float(i % 2),
                "seed": i // 2,
                "mig": good,
                "sap": float(np.exp(good)),  # the same order
                "irs": 0.5,  # the same in all runs: there is no order
                "elbo": -100 - good,  # the opposite order
                "rate": RNG.normal(),
                "infoc": RNG.normal() if i < 4 else None,  # of too few runs
                "marginal_kl": RNG.normal() if i else None,
            }
        )
    return rows


def found_in(rows):
    return sections(measures.quantities(), list(rows[0]))


def test_correlations_are_those_of_scipy_over_the_runs_that_have_both():
    rows = rows_of(8)
    keys = ["mig", "sap", "elbo", "rate", "marginal_kl", "irs", "infoc"]
    matrix = correlations.spearman(rows, keys)
    np.testing.assert_allclose(matrix[0, :3], [1, 1, -1])
    for key, own in (("rate", rows), ("marginal_kl", rows[1:])):
        direct = stats.spearmanr([r["mig"] for r in own], [r[key] for r in own])
        assert matrix[0, keys.index(key)] == pytest.approx(direct.statistic)
    assert np.isnan(matrix[:, 5:]).all()


def test_metrics_come_first_and_what_has_no_order_is_left_out():
    names = correlations.ranked(rows_of(8), found_in(rows_of(8)))
    assert list(names) == ["mig", "sap", "elbo", "rate", "marginal_kl"]
    assert names["marginal_kl"] == "Codes to prior, KL, upper bound"


def test_a_report_shows_them_from_five_runs_on(tmp_path):
    _, text = report(tmp_path / "five", rows_of(5), [WEIGHT])
    page = Page(text)
    assert "over the 5 finished runs" in page.text
    labels = [attributes.get("aria-label") for tag, attributes in page.tags]
    assert "Rank correlations of pairs of numbers over runs" in labels
    assert "<title>MIG\nSAP\n1.00</title>" in text
    assert (tmp_path / "five/out/figures/rank_correlations.svg").is_file()
    _, text = report(tmp_path / "four", rows_of(4), [WEIGHT])
    assert "Rank correlations" not in text
    plain = [{k: v for k, v in row.items() if k != "sap"} for row in rows_of(8)]
    assert not correlations.ranked(plain, found_in(plain))  # one metric alone
