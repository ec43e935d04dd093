"""The pictures of a trained model, where there is little to draw."""

import json

import numpy as np

from vae_jax.report import figures
from vae_jax.report.latent_space import LatentSpace, principal_plane


def drawn_of(count, is_continuous, workdir):
    """Names of the figures of a latent space of four dimensions."""
    workdir.mkdir()
    (workdir / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/elbo": -3.0}))
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 30))

    def decode(z):
        return (0.5 + 0.1 * np.tanh(z @ matrix)).reshape(-1, 5, 6, 1)

    x = rng.random((count, 5, 6, 1))
    codes = x.reshape(count, 30) @ matrix.T
    space = LatentSpace(
        codes=codes,
        kl=(codes**2).mean(axis=0),
        prior_codes=rng.normal(size=(9, 4)),
        decode=decode,
        images=x,
        seen=x,
        is_continuous=is_continuous,
    )
    figures.draw_all(space, np.arange(count), workdir)
    return {path.stem for path in (workdir / "figures").iterdir()}


def test_there_are_pictures_of_what_there_is(tmp_path):
    """One image has none to go to; discrete codes have nothing in between."""
    always = {"latent_map", "reconstructions", "samples", "training_curves"}
    one = always | {"kl_per_dimension", "traversals"}
    assert drawn_of(1, True, tmp_path / "one") == one
    assert drawn_of(2, True, tmp_path / "two") == one | {"interpolations"}
    assert drawn_of(2, False, tmp_path / "discrete") == always


def test_principal_plane_of_few_points():
    """One point has a plane; two lie on its first axis, whatever their number."""
    point = np.array([[3.0, 4.0, 0.0]])
    assert np.isfinite(principal_plane(point)).all()
    plane = principal_plane(np.concatenate([point, -point]))
    np.testing.assert_allclose(np.abs(plane), [[5, 0], [5, 0]], atol=1e-12)
