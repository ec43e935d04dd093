"""The pictures of a trained model, where there is little to draw."""

import dataclasses
import json

import numpy as np

from vae_jax.report import figures
from vae_jax.report.latent_space import (
    LatentSpace,
    principal_plane,
    spherical_lines,
    straight_lines,
)


def drawn_of(count, is_continuous, workdir, dims=4, **changed):
    """Names of the figures of a latent space."""
    workdir.mkdir()
    (workdir / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/elbo": -3.0}))
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(dims, 30))

    def decode(z):
        return (0.5 + 0.1 * np.tanh(z @ matrix)).reshape(-1, 5, 6, 1)

    x = rng.random((count, 5, 6, 1))
    codes = x.reshape(count, 30) @ matrix.T
    space = LatentSpace(
        codes=codes,
        shown=codes,
        kl=(codes**2).mean(axis=0),
        layer_kl=None,
        prior_codes=rng.normal(size=(9, dims)),
        decode=decode,
        images=x,
        seen=x,
        is_continuous=is_continuous,
    )
    space = dataclasses.replace(space, **changed)
    figures.draw_all(space, np.arange(count), workdir)
    return {path.stem for path in (workdir / "figures").iterdir()}


def test_there_are_pictures_of_what_there_is(tmp_path):
    """One image has none to go to; discrete codes have nothing in between."""
    always = {"latent_map", "reconstructions", "samples", "training_curves"}
    one = always | {"kl_per_dimension", "traversals"}
    assert drawn_of(1, True, tmp_path / "one") == one
    assert drawn_of(2, True, tmp_path / "two") == one | {"interpolations"}
    assert drawn_of(2, False, tmp_path / "discrete") == always


def test_priors_without_dimensions_or_quantiles(tmp_path):
    """Under a mixture the KL is one number, and no grid has its quantiles."""
    plane = drawn_of(2, True, tmp_path / "normal", dims=2)
    mixture = {"kl": np.array([3.0]), "has_standard_prior": False}
    found = drawn_of(2, True, tmp_path / "mixture", dims=2, **mixture)
    assert plane - found == {"kl_per_dimension", "latent_grid"}


def test_lines_of_a_conditional_model_keep_the_label_of_the_first_image():
    """They go to the next image of the same label, or else to any other."""
    nothing = np.zeros((1, 1))
    codes, label = np.array([1.0, 2, 3, 4, 5]), np.array([7, 8, 9, 8, 7])
    space = LatentSpace(
        codes=nothing,
        shown=np.c_[codes, label],
        kl=None,
        layer_kl=None,
        prior_codes=nothing,
        decode=np.asarray,
        images=nothing,
        seen=nothing,
        num_held=1,
    )
    lines = space.lines(2, 3)
    np.testing.assert_array_equal(lines[0], [[1, 7], [3, 7], [5, 7]])
    np.testing.assert_array_equal(lines[1], [[2, 8], [3, 8], [4, 8]])
    alone = dataclasses.replace(space, shown=space.shown[:4]).lines(2, 2)
    np.testing.assert_array_equal(alone[0], [[1, 7], [3, 7]])


def test_spherical_lines_turn_by_equal_angles():
    """Codes of one length stay that long, in the plane of both ends."""
    start, end = np.random.default_rng(0).normal(size=(2, 5, 8))
    start, end = (
        3 * z / np.linalg.norm(z, axis=1, keepdims=True) for z in (start, end)
    )
    lines = spherical_lines(start, end, 7)
    np.testing.assert_allclose(lines[:, [0, -1]], np.stack([start, end], 1), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(lines, axis=-1), 3)
    cosines = (lines[:, 1:] * lines[:, :-1]).sum(-1) / 9
    np.testing.assert_allclose(cosines, cosines[:, :1].repeat(6, axis=1))
    middle = start + end
    middle *= 3 / np.linalg.norm(middle, axis=1, keepdims=True)
    np.testing.assert_allclose(lines[:, 3], middle)


def test_spherical_lines_are_straight_where_there_is_no_angle():
    start = np.array([[1.0, 2, 2], [1, 2, 2], [0, 0, 0], [1, 1, 1]])
    end = np.array([[2.0, 4, 4], [-1, -2, -2], [1, 2, 3], [1, 1, 1]])
    lines = spherical_lines(start, end, 5)
    np.testing.assert_array_equal(lines, straight_lines(start, end, 5))
    np.testing.assert_allclose(lines[0, 1], [1.25, 2.5, 2.5])


def test_principal_plane_of_few_points():
    """One point has a plane; two lie on its first axis, whatever their number."""
    point = np.array([[3.0, 4.0, 0.0]])
    assert np.isfinite(principal_plane(point)).all()
    plane = principal_plane(np.concatenate([point, -point]))
    np.testing.assert_allclose(np.abs(plane), [[5, 0], [5, 0]], atol=1e-12)
