import csv

import numpy as np
import pytest
from scipy import stats

from vae_jax import as_text
from vae_jax.report import arrangement, compare

WEIGHT, LIKELIHOOD = "hparams.kl_weight", "model.likelihood"


def rows_of(weights=(0.0, 0.5, 10.0), seeds=3):
    rng = np.random.default_rng(0)
    return [
        {
            "name": f"kl_weight={weight:g},seed={seed}",
            WEIGHT: weight,
            "seed": seed,
            "step": 100,
            "elbo": -rng.uniform(90, 110),
            "rate": rng.uniform(5, 20),
        }
        for weight in weights
        for seed in range(seeds)
    ]


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_settings_hold_a_row_for_each_seed():
    rows = rows_of()
    groups = compare.settings(rows, [WEIGHT])
    assert [group.values for group in groups] == [{WEIGHT: w} for w in (0.0, 0.5, 10.0)]
    assert [group.rows for group in groups] == [rows[:3], rows[3:6], rows[6:]]


def test_numbers_ascend_and_words_keep_their_order():
    numbers = compare.settings(rows_of(weights=(10.0, 0.5, 2.0)), [WEIGHT])
    assert [group.values[WEIGHT] for group in numbers] == [0.5, 2.0, 10.0]
    words = ["normal", "bernoulli"]
    rows = [
        {"name": "", LIKELIHOOD: w, WEIGHT: x, "seed": 0} for x in (2, 1) for w in words
    ]
    pairs = compare.settings(rows, [LIKELIHOOD, WEIGHT])
    assert [tuple(group.values.values()) for group in pairs] == [
        ("normal", 1),
        ("normal", 2),
        ("bernoulli", 1),
        ("bernoulli", 2),
    ]


def test_without_a_swept_field_all_rows_are_one_setting():
    rows = rows_of()
    (group,) = compare.settings(rows, [])
    assert group.rows == rows
    assert compare.setting_names([group], []) == ["kl_weight=0,seed=0 and 8 more"]


def test_many_swept_fields_are_named_by_what_the_runs_names_share():
    rows = [
        {"name": f"name=beta_tc,tc_weight={w},seed={s}", "w": w, "seed": s}
        for w in (5, 50)
        for s in (0, 1)
    ]
    groups = compare.settings(rows, ["w"])
    assert compare.setting_names(groups, ["a", "b", "c", "w"]) == [
        "beta_tc, tc_weight=5",
        "beta_tc, tc_weight=50",
    ]
    loose = compare.settings([{"name": "a", "w": 1}, {"name": "b", "w": 1}], ["w"])
    assert compare.setting_names(loose, []) == ["a and 1 more"]


def test_mean_and_standard_error():
    rows = rows_of()
    for n, group in enumerate(compare.settings(rows, [WEIGHT])):
        values = [row["elbo"] for row in rows[3 * n : 3 * n + 3]]
        np.testing.assert_allclose(group.mean("elbo"), np.mean(values), rtol=1e-12)
        np.testing.assert_allclose(
            group.standard_error("elbo"), stats.sem(values), rtol=1e-12
        )


def test_one_seed_has_no_standard_error():
    (group,) = compare.settings(rows_of(weights=(1.0,), seeds=1), [WEIGHT])
    assert group.mean("elbo") < 0
    assert group.standard_error("elbo") is None


def test_failed_runs_are_not_averaged():
    failed = {"name": "b", WEIGHT: 1.0, "seed": 1, "failed_at_step": 7}
    rows = [{"name": "a", WEIGHT: 1.0, "seed": 0, "elbo": -3.0}, failed]
    (group,) = compare.settings(rows, [WEIGHT])
    assert group.finished == rows[:1]
    assert group.mean("elbo") == -3.0
    (lost,) = compare.settings([failed], [WEIGHT])
    assert lost.mean("elbo") is None


def test_a_value_that_one_finished_run_lacks_has_no_mean():
    rows = rows_of(weights=(1.0,), seeds=2)
    rows[0]["elbo"] = None
    (group,) = compare.settings(rows, [WEIGHT])
    assert group.mean("elbo") is None
    assert group.standard_error("elbo") is None


def test_values_that_are_not_finite_count_as_missing():
    (row,) = compare.finite([{"a": float("nan"), "b": float("inf"), "c": 1, "d": "x"}])
    assert row == {"a": None, "b": None, "c": 1, "d": "x"}


def test_result_keys_are_those_with_numbers():
    rows = [
        {"name": "a", WEIGHT: 1.0, "seed": 0, "elbo": None, "rate": 2.0, "ok": True}
    ]
    assert compare.result_keys(rows, [WEIGHT]) == ["rate"]


def test_results_are_read_back(tmp_path):
    failed = {"name": "kl_weight=0,seed=9", WEIGHT: 0.0, "seed": 9, "failed_at_step": 7}
    rows = [failed, *rows_of()]
    rows[1]["rate"] = None
    compare.write_results(rows, tmp_path / "results.csv")
    lines = read_csv(tmp_path / "results.csv")
    header = ["name", WEIGHT, "seed", "step", "elbo", "rate", "failed_at_step"]
    assert list(lines[0]) == header
    assert lines[0] == {
        **dict.fromkeys(lines[0], ""),
        **{key: str(value) for key, value in failed.items()},
    }
    assert lines[1]["rate"] == ""
    for line, row in zip(lines[2:], rows[2:], strict=True):
        assert line["name"] == row["name"]
        assert float(line["elbo"]) == row["elbo"]
        assert float(line[WEIGHT]) == row[WEIGHT]


def test_summary_is_read_back(tmp_path):
    rows = rows_of()
    rows[0] = {"name": "a", WEIGHT: 0.0, "seed": 0, "failed_at_step": 3}
    groups = compare.settings(rows, [WEIGHT])
    compare.write_summary(groups, ["elbo"], tmp_path / "summary.csv")
    lines = read_csv(tmp_path / "summary.csv")
    assert [line["runs"] for line in lines] == ["3", "3", "3"]
    assert [line["failed"] for line in lines] == ["1", "0", "0"]
    values = [row["elbo"] for row in rows[1:3]]
    np.testing.assert_allclose(float(lines[0]["elbo"]), np.mean(values), rtol=1e-12)
    np.testing.assert_allclose(
        float(lines[0]["elbo_se"]), stats.sem(values), rtol=1e-12
    )


def test_names_of_fields():
    assert compare.short_names([WEIGHT, "seed"]) == {
        WEIGHT: "kl_weight",
        "seed": "seed",
    }
    same = ["data.seed", "seed"]
    assert list(compare.short_names(same).values()) == same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.0, "1"),
        (1e-4, "0.0001"),
        (0.12345678, "0.12345678"),  # must not be taken for 0.123457
        (None, "–"),
        ([32, 64], "(32, 64)"),
        ((400,), "(400,)"),
        (True, "True"),
        ("mlp", "mlp"),
    ],
)
def test_values_as_text(value, text):
    assert as_text.exact(value) == text


def test_layout_of_one_field():
    groups = compare.settings(rows_of(), [WEIGHT])
    layout = arrangement.arrange(groups, [WEIGHT])
    assert layout.label == "kl_weight"
    assert layout.ticks == ["0", "0.5", "10"]
    assert layout.ordered
    assert layout.lines == {"": dict(enumerate(groups))}


def grid_rows(fields, missing=()):
    """Two fields with two values each."""
    values = [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    return [
        {
            "name": f"{word}{number}",
            **dict(zip(fields, (word, number), strict=True)),
            "seed": 0,
            "elbo": -float(number),
        }
        for word, number in values
        if (word, number) not in missing
    ]


def test_layout_of_two_fields_has_a_line_for_each_value_of_the_second():
    fields = [LIKELIHOOD, "model.latent_dim"]
    groups = compare.settings(grid_rows(fields), fields)
    layout = arrangement.arrange(groups, fields)
    assert layout.ticks == ["a", "b"]
    assert not layout.ordered  # words have no neighbours
    lines = {
        name: {tick: group.rows[0]["name"] for tick, group in line.items()}
        for name, line in layout.lines.items()
    }
    assert lines == {
        "latent_dim 1": {0: "a1", 1: "b1"},
        "latent_dim 2": {0: "a2", 1: "b2"},
    }


def test_settings_that_make_no_lines_stand_side_by_side():
    fields = [LIKELIHOOD, "model.latent_dim"]
    groups = compare.settings(grid_rows(fields, missing=[("b", 2)]), fields)
    layout = arrangement.arrange(groups, fields)
    assert layout.ticks == ["a, 1", "a, 2", "b, 1"]
    assert layout.label == "likelihood, latent_dim"
    assert layout.is_single
    assert not layout.ordered


def test_a_layout_with_too_much_for_a_chart_is_thinned_evenly():
    fields = ["hparams.kl_weight", "hparams.learning_rate"]
    rows = [
        {"name": f"{w} {r}", fields[0]: w, fields[1]: r, "seed": 0}
        for w in range(100)
        for r in range(50)
    ]
    groups = compare.settings(rows, fields)
    keep = groups[37 * 50 + 11]
    layout, left_out = arrangement.thinned(arrangement.arrange(groups, fields), keep)
    assert len(layout.ticks) == arrangement.MAX_TICKS
    assert len(layout.lines) == arrangement.MAX_LINES
    assert (layout.ticks[0], layout.ticks[-1]) == ("0", "99")
    assert keep in layout.settings
    for line in layout.lines.values():
        for tick, setting in line.items():
            assert layout.ticks[tick] == str(setting.values[fields[0]])
    assert left_out.startswith("128 of 5,000 settings")
    whole = arrangement.arrange(groups[:100], fields)
    few = arrangement.arrange(
        [g for g in groups if g.values[fields[1]] < 2][:20], fields
    )
    assert arrangement.thinned(few) == (few, "")
    assert arrangement.thinned(whole)[1]


@pytest.mark.parametrize(("total", "keep"), [(5, 3), (10, 0), (10000, 4711), (17, 16)])
def test_numbers_are_spread_from_the_first_to_the_last(total, keep):
    found = arrangement.spread(total, 8, keep)
    assert len(found) == min(total, 8) == len(set(found))
    assert found == sorted(found) and keep in found
    assert {0, total - 1} <= {*found, keep}
