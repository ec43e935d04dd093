"""Metrics of disentanglement on codes whose faults are known."""

import numpy as np
import pytest

from benchmarks.disentanglement import MIXED, known_codes, made_factors
from vae_jax.errors import ConfigError, DataError
from vae_jax.evaluation import disentanglement
from vae_jax.evaluation.disentanglement import (
    beta_vae_score,
    dci,
    factor_vae_score,
    infomec,
    information_table,
    irs,
    mig,
    mig_by_factor,
    modularity,
    predictive_information,
    sap,
    standard_errors,
)
from vae_jax.evaluation.disentanglement.information import bins
from vae_jax.evaluation.disentanglement.inputs import check, held_out
from vae_jax.evaluation.disentanglement.together import METRICS

PAPERS = {"num_bins": 20, "equal_width": True}
SMALL = (3, 4, 5)  # values of the factors of the tests that fit predictors
# On noise, of factors with SMALL values: in the middle, and how far by chance.
FLOORS = {
    "mig": (0, 0.02),
    "beta_vae_score": (1 / 3, 0.03),
    "factor_vae_score": (1 / 3, 0.03),
    "dci_disentanglement": (0, 0.02),
    "dci_completeness": (0, 0.02),
    "dci_informativeness": ((1 / 3 + 1 / 4 + 1 / 5) / 3, 0.05),
    "sap": (0, 0.05),
    "explicitness": (0.5, 0.04),
    "infoe": (0, 0.02),
}
BELOW_ONE = {"sap": 0.5, "infom": 0.97, "infoc": 0.97}  # on perfect codes, at least


@pytest.fixture(scope="module")
def dsprites():
    """10,000 examples with the sizes of dSprites, and codes by what is wrong."""
    factors = made_factors()
    return factors, known_codes(factors)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(size, size=1500) for size in SMALL], axis=1)
    return factors, rng.normal(size=(1500, 3))


def numbers_of(codes, factors):
    found = {}
    for metric in METRICS:
        found |= metric.numbers(codes, factors, 0)
    return found


def test_mig_of_perfect_codes_is_that_of_the_papers(dsprites):
    factors, codes = dsprites
    gaps = mig_by_factor(codes["perfect"], factors, **PAPERS)
    np.testing.assert_allclose(gaps, [1, 0.997, 0.80, 0.84, 0.84], atol=0.006)
    assert mig(codes["perfect"], factors, **PAPERS) == pytest.approx(0.896, abs=0.001)
    # Finer bins lift that maximum, but the information of other dimensions, which is 0,
    # is then estimated as (40 - 1) (40 - 1) / 2N nats for the factor with 40 values.
    fine = mig_by_factor(codes["perfect"], factors, num_bins=200, equal_width=True)
    assert fine[2] == pytest.approx(
        1 - 39**2 / (2 * len(factors)) / np.log(40), abs=5e-3
    )
    # The stated maximum of a factor with more values than bins.
    assert gaps[2] == pytest.approx(np.log(20) / np.log(40), abs=0.02)


def test_an_outlier_spoils_bins_of_equal_width_and_no_others(dsprites):
    factors, codes = dsprites
    gaps = mig_by_factor(codes["one outlier"], factors, **PAPERS)
    np.testing.assert_allclose(gaps, [0, 0.56, 0.73, 0.71, 0.72], atol=0.02)
    ours = mig(codes["one outlier"], factors)
    assert ours == pytest.approx(mig(codes["perfect"], factors), abs=0.002)


@pytest.mark.parametrize("shares", [(0.97, 0.03), (0.03, 0.97), (0.96, 0.02, 0.02)])
@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_codes_of_rare_values_reach_one(shares, sign):
    rng = np.random.default_rng(0)
    rare = rng.choice(len(shares), size=5000, p=shares)
    factors = np.stack([rare, rng.integers(4, size=5000)], axis=1)
    np.testing.assert_allclose(mig_by_factor(sign * factors, factors), 1, atol=0.01)
    assert modularity(sign * factors, factors) > 0.99


@pytest.mark.parametrize("sign", [1, -1])
def test_bins_have_equally_many_values(sign):
    z = sign * np.random.default_rng(0).normal(size=1000)
    assert set(np.bincount(bins(z, 20, equal_width=False))) == {50}


def test_mig_and_modularity_of_faulty_codes(dsprites):
    factors, codes = dsprites
    assert mig(codes["each factor twice"], factors) == 0
    gaps = mig_by_factor(codes[MIXED], factors, **PAPERS)
    np.testing.assert_allclose(gaps[3:], [0.001, 0], atol=0.01)
    assert mig(codes["noise"], factors, **PAPERS) == pytest.approx(0.0002, abs=0.002)
    assert modularity(codes["perfect"], factors) > 0.999
    # Five ratios of chance numbers: their mean moves by 0.03 from draw to draw.
    noise = modularity(codes["noise"], factors, **PAPERS)
    assert noise == pytest.approx(0.68, abs=0.06)
    both = modularity(codes["perfect and 5 of noise"], factors, **PAPERS)
    assert both == pytest.approx(0.83, abs=0.03)


def test_each_metric_is_at_its_maximum_on_perfect_codes(small):
    factors, _ = small
    numbers = numbers_of(factors.astype(float), factors)
    assert set(numbers) == {
        *("mig", "modularity", "irs", "beta_vae_score", "factor_vae_score", "sap"),
        *("dci_disentanglement", "dci_completeness", "dci_informativeness"),
        *("explicitness", "infoe", "infom", "infoc"),
    }
    for key, value in numbers.items():
        assert BELOW_ONE.get(key, 0.98) <= value <= 1 + 1e-9, key
    assert sap(2.0 * factors, factors, continuous=True) > 0.97


def test_each_metric_is_at_its_floor_on_noise(small):
    factors, noise = small
    numbers = numbers_of(noise, factors)
    for key, (floor, band) in FLOORS.items():
        assert numbers[key] == pytest.approx(floor, abs=band), key
    for key in numbers.keys() - FLOORS:  # these mislead on noise, and say so
        assert 0.1 < numbers[key] < 0.85, key
    assert sap(noise, factors, continuous=True) < 0.01


def test_no_metric_depends_on_the_order_or_the_scale_of_dimensions(small):
    factors, noise = small
    codes = factors + 0.4 * noise
    codes[:, 0] += 0.5 * codes[:, 1]
    numbers = numbers_of(codes, factors)
    other = numbers_of(codes[:, [2, 0, 1]] * [1, -3, 0.5], factors)
    # By its definition a dimension counts as much as it is wide.
    other["irs"] = irs(codes[:, [2, 0, 1]] * [1, -1, 1], factors)
    for key, value in numbers.items():
        # Bins are closed on one side only, and a new order draws other random numbers.
        assert other[key] == pytest.approx(value, abs=0.02), key
        # Not at an end, where all is equal; these two do not see so little mixing.
        assert 0.05 < value < 1 or key in ("beta_vae_score", "factor_vae_score"), key


def test_bins_of_equally_many_do_not_change_with_an_increasing_function(small):
    factors, noise = small
    codes = factors + 0.3 * noise
    table = information_table(codes, factors)
    np.testing.assert_array_equal(information_table(np.exp(codes), factors), table)
    stretched = information_table(np.exp(codes), factors, equal_width=True)
    assert np.abs(stretched - table).max() > 0.1


def test_information_of_bins_is_that_of_scikit_learn(small):
    from sklearn.metrics import mutual_info_score

    factors, noise = small
    codes = np.round(factors + noise).astype(int)  # few values: each has its bin
    table = information_table(codes, factors, num_bins=500)
    direct = [[mutual_info_score(z, v) for v in factors.T] for z in codes.T]
    np.testing.assert_allclose(table, direct, atol=1e-12)


def test_constant_dimensions_and_constant_codes_break_nothing(small):
    factors, noise = small
    perfect = np.concatenate([factors, np.full((1500, 2), 0.1)], axis=1)
    numbers = numbers_of(perfect, factors)
    for key in ("factor_vae_score", "irs", "mig", "dci_disentanglement", "infom"):
        assert numbers[key] > 0.97, key
    # The mean over all dimensions is as published, with 0 for those that are constant.
    assert numbers["modularity"] == pytest.approx(3 / 5, abs=0.01)
    constant = numbers_of(np.full((1500, 4), 0.1), factors)
    assert set(constant.values()) - {None}
    for key in ("mig", "irs", "dci_disentanglement", "dci_completeness", "infom"):
        assert constant[key] == 0, key
    assert constant["factor_vae_score"] == pytest.approx(1 / 3, abs=0.03)


def test_a_collapsed_dimension_has_no_vote(small):
    factors, noise = small
    codes = np.concatenate([factors, 1e-3 * noise], axis=1)
    assert factor_vae_score(codes, factors) == 1.0


def test_a_label_is_a_single_factor(small):
    factors, noise = small
    label, codes = factors[:, 2], factors + 0.3 * noise
    numbers = numbers_of(codes, label[:, None])
    undefined = {key for key, value in numbers.items() if value is None}
    assert undefined == {
        *("modularity", "beta_vae_score", "factor_vae_score"),
        *("dci_disentanglement", "infom"),
    }
    assert mig(codes, label) == numbers["mig"]
    one_dim = numbers_of(codes[:, 2:], factors)
    undefined = {key for key, value in one_dim.items() if value is None}
    assert undefined == {"mig", "sap", "dci_completeness", "infoc"}


def test_discrete_codes_are_counted(small):
    factors, _ = small
    names = factors * 2 + np.random.default_rng(1).integers(2, size=factors.shape)
    parity = (
        names + factors
    ) % 2  # no linear rule of the numbers, but one of the names
    assert min(infomec(names, factors, discrete=True)) > 0.98
    assert infomec(names, parity, discrete=True).explicitness > 0.98
    assert predictive_information(names, parity) < 0.5


def test_held_out_rows_have_values_that_were_seen():
    factors = np.repeat(np.arange(30), np.arange(30))[:, None] - 1
    tested = held_out(factors, 0, np.random.default_rng(0))
    counts = np.bincount(factors[:, 0])
    np.testing.assert_array_equal(np.bincount(factors[tested, 0]), counts // 4)


def test_standard_errors_are_those_of_new_examples():
    """The spread over data sets that are drawn anew is the truth."""
    sizes, num = (4, 6), 600

    def draw(seed):
        rng = np.random.default_rng(seed)
        v = np.stack([rng.integers(size, size=num) for size in sizes], axis=1)
        return v + rng.normal(size=v.shape), v

    def scores(z, v):
        return {
            "mean": float(z[:, 0].mean()),
            "mig": mig(z, v, num_bins=5),
            "irs": irs(z, v, quantile=0.9),
            "none": None,
        }

    drawn = [scores(*draw(seed)) for seed in range(300)]
    for share in (0.5, 0.25):
        found = [
            standard_errors(scores, *draw(seed), share=share, seed=seed)
            for seed in range(6)
        ]
        for key in ("mean", "mig", "irs"):
            truth = np.std([own[key] for own in drawn])
            estimate = np.mean([own[key] for own in found])
            # 300 numbers: the truth is known to 4 %; 6 x 50: the estimate to 5 %. A
            # smaller sample is a little more than proportionally uncertain.
            assert estimate == pytest.approx(truth, rel=0.3), (key, share)
        assert found[0]["none"] is None


def test_an_error_that_too_few_resamples_can_give_is_none():
    codes = np.arange(10.0)[:, None]
    rare = (np.arange(10) < 1).astype(int)  # missing in most of the resamples
    scores = {"irs": None}
    assert standard_errors(lambda z, v: {"irs": irs(z, v)}, codes, rare, share=0.2) == (
        scores
    )


def test_the_same_seed_gives_the_same_number(small):
    factors, noise = small

    def score(seed):
        few = {"num_train": 100, "num_test": 100, "seed": seed}
        return factor_vae_score(factors + noise, factors, **few)

    assert score(3) == score(3) == score(np.random.default_rng(3)) != score(4)


GOOD, FACTORS = np.random.default_rng(0).normal(size=(40, 2)), np.arange(80) % 4


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (GOOD, FACTORS[:39], "40 rows of codes and 39 of factors"),
        (GOOD[:1], FACTORS[:1], "codes has 1 rows"),
        (
            GOOD[:, 0],
            FACTORS[:40],
            r"codes must be numbers \[N, D\], not float64\[40\]",
        ),
        (GOOD * [1, np.nan], FACTORS[:40], r"codes\[0, 1\] is nan"),
        (GOOD, FACTORS[:40] * 0 + 7, r"factors\[:, 0\] is 7 in every row"),
        (GOOD, FACTORS[:40] - 1, r"factors\[:, 0\] has the value -1"),
        (GOOD, FACTORS[:40] / 2, r"must be whole numbers \[N, F\], not float64"),
        (GOOD, FACTORS[:40, None, None], "whole numbers"),
    ],
)
def test_bad_input_is_one_line(codes, factors, words):
    for name in ("mig", "irs", "dci", "sap", "explicitness", "infomec"):
        with pytest.raises(DataError, match=words):
            getattr(disentanglement, name)(codes, factors)


def test_what_a_metric_needs_is_said():
    v = FACTORS[:40]
    for refused, words in [
        (lambda: mig(GOOD[:, :1], v), "codes has 1 columns, and this metric needs 2"),
        (lambda: modularity(GOOD, v), "factors has 1 columns, and this metric needs 2"),
        (lambda: dci(GOOD, np.arange(40)), "fewer than two values that occur in 4"),
        (
            lambda: factor_vae_score(GOOD, np.stack([v, np.arange(40)], 1)),
            r"factors\[:, 1\] has another value in every row",
        ),
    ]:
        with pytest.raises(DataError, match=words):
            refused()
    with pytest.raises(ConfigError, match="num_bins=0"):
        mig(GOOD, v, num_bins=0)
    with pytest.raises(ConfigError, match="quantile=2"):
        irs(GOOD, v, quantile=2)
    with pytest.raises(ConfigError, match="num_train=1: .* share one factor"):
        beta_vae_score(GOOD, np.stack([v, v], 1), num_train=1)


def test_irs_of_few_far_examples_is_negative():
    """Each value's own mean is at one end, and the mean of all is in the middle."""
    codes, factors = np.r_[np.arange(99) < 1, np.arange(99) > 0], np.repeat([0, 1], 99)
    # Of each group one lies 98/99 from its mean, and all lie 1/2 from that of all.
    found = irs(codes[:, None].astype(float), factors, quantile=1.0)
    np.testing.assert_allclose(found, 1 - (98 / 99) / (1 / 2))


def test_factors_are_numbered_by_the_values_that_occur():
    rows = check(GOOD, np.array([[7, 0], [900, 1]] * 20))
    assert rows.sizes == (2, 2)
    np.testing.assert_array_equal(rows.factors[:2], [[0, 0], [1, 1]])
