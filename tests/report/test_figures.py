"""The pictures of a trained model, where there is little to draw."""

import json

import numpy as np

from vae_jax.report import figures
from vae_jax.report.latent_space import LatentSpace, principal_plane


def test_one_test_image_has_no_interpolations_and_all_else(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/elbo": -3.0}))
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 30))

    def decode(z):
        return (0.5 + 0.1 * np.tanh(z @ matrix)).reshape(-1, 5, 6, 1)

    for count in (1, 2):
        x = rng.random((count, 5, 6, 1))
        codes = x.reshape(count, 30) @ matrix.T
        space = LatentSpace(
            codes=codes,
            shown=codes,
            kl=(codes**2).mean(axis=0),
            layer_kl=None,
            prior_codes=rng.normal(size=(9, 4)),
            decode=decode,
            images=x,
            seen=x,
        )
        figures.draw_all(space, np.arange(count), tmp_path)
        drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
        assert ("interpolations" in drawn) == (count > 1)
        assert drawn - {"interpolations"} == {
            "kl_per_dimension",
            "latent_map",
            "reconstructions",
            "samples",
            "training_curves",
            "traversals",
        }


def test_principal_plane_of_few_points():
    """One point has a plane; two lie on its first axis, whatever their number."""
    point = np.array([[3.0, 4.0, 0.0]])
    assert np.isfinite(principal_plane(point)).all()
    plane = principal_plane(np.concatenate([point, -point]))
    np.testing.assert_allclose(np.abs(plane), [[5, 0], [5, 0]], atol=1e-12)
