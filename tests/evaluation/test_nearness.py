"""Codes and holes: where a point counts as one or the other."""

import numpy as np
import pytest

from vae_jax.evaluation.nearness import neighbourhoods, squared_distances, widened


def in_hole(z, means, variances):
    wide, reach = neighbourhoods(means, variances)
    return (squared_distances(np.atleast_2d(z), means, wide) > reach).all(axis=1)


def test_squared_distances_are_what_they_are_called():
    rng = np.random.default_rng(0)
    z, means = rng.normal(50, 1, (4, 3)), rng.normal(50, 1, (5, 3))
    variances = rng.uniform(0.1, 2, (5, 3))
    wanted = ((z[:, None] - means) ** 2 / variances).sum(axis=2)
    np.testing.assert_allclose(squared_distances(z, means, variances), wanted, 1e-9)


def test_points_are_widened_by_the_gap_to_the_fifth_neighbour():
    means = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    wide = widened(means, np.zeros_like(means))
    # Code 0 has its neighbours at 1, ..., 5; code 5 at 1, 1, 2, 2, 3.
    np.testing.assert_allclose(wide[0], 25 / 2)
    np.testing.assert_allclose(wide[5], 9 / 2)
    np.testing.assert_allclose(widened(means, 7.0 + 0 * means) - wide, 7.0)


def test_between_two_clusters_of_points_is_a_hole_unless_posteriors_fill_it():
    rng = np.random.default_rng(0)
    means = np.concatenate(
        [rng.normal(-3, 0.3, (100, 2)), rng.normal(3, 0.3, (100, 2))]
    )
    z = [[-3, -3], [3, 3], [0, 0], [3, -3]]
    points = np.zeros_like(means)
    assert in_hole(z, means, points).tolist() == [False, False, True, True]
    wide = np.full_like(means, 9.0)
    assert in_hole(z, means, wide).tolist() == [False] * 4


def test_where_all_posteriors_are_the_prior_its_95_percent_are_no_hole():
    """The squared radius is that of a chi-squared with two degrees of freedom, 5.99."""
    means = np.random.default_rng(1).normal(0, 1e-3, (1000, 2))
    wide, reach = neighbourhoods(means, np.ones_like(means))
    # A quantile of 1,000 draws has a standard error of 0.28.
    assert reach == pytest.approx(5.99, abs=0.9)
    np.testing.assert_allclose(wide, 1.0, atol=1e-4)


def test_codes_that_are_all_the_same_are_no_division_by_zero():
    means = np.full((4, 2), 3.0)
    wide, reach = neighbourhoods(means, np.zeros_like(means))
    assert (wide > 0).all() and reach == 0
    assert in_hole([3.1, 3.0], means, np.zeros_like(means)).all()
