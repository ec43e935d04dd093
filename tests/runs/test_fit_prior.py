"""A prior fitted to a run: on disk, in evaluation and in draws, and what is refused."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runs_helpers import small_config
from vae_jax import fitted
from vae_jax.errors import ConfigError, DataError
from vae_jax.evaluation.measures import Effort
from vae_jax.runs import opened, single
from vae_jax.runs.codes import codes_of_images, codes_of_split
from vae_jax.runs.fit_prior import fit_prior
from vae_jax.runs.remeasure import remeasure
from vae_jax.storage.code_files import columns
from vae_jax.storage.records import read_json, write_json

KEY = jax.random.key(0)
KINDS = {  # what makes it so
    "normal": {},
    "discrete": {
        "model.posterior": "fsq",
        "model.prior": "uniform",
        "fsq.levels": (3, 2),
        "fsq.num_sites": 3,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Workdirs of short runs by kind, and their data."""
    folder = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 5), np.uint8)
    np.savez(folder / "set.npz", x_train=images)
    fields = {"train.num_steps": 3, "train.eval_every": 0, "mlp.hidden_dims": (8,)}
    fields["data.name"] = f"npz:{folder / 'set.npz'}"
    for kind, own in KINDS.items():
        single.train(small_config(**fields, **own), folder / kind)
    return folder


@pytest.fixture(scope="module")
def gaussian(folder):
    """The run with a normal fitted to its codes."""
    run = opened.open_run(folder / "normal")
    fit_prior(run, "gaussian", {})
    return run.with_prior("gaussian")


def test_what_is_read_is_what_was_written(folder, gaussian):
    about = read_json(folder / "normal" / "priors" / "gaussian" / "prior.json")
    assert (about["step"], about["shape"]) == (3, [3])
    codes = jax.random.normal(KEY, (5, 3))
    before = gaussian.trained.fitted.log_prob(codes)
    fit_prior(gaussian, "gaussian", {})  # the same codes again, whatever the prior
    again = opened.open_run(folder / "normal", "gaussian")
    assert (again.trained.fitted.log_prob(codes) == before).all()
    assert np.isfinite(about["train_nats"] + about["validation_nats"])


def test_a_fitted_prior_takes_the_place_of_the_models_own(gaussian):
    """In the output, in the latents, in p(z) and in draws; the rest is as it was."""
    own = opened.open_run(gaussian.workdir).trained
    trained = gaussian.trained
    x = gaussian.preprocess(jnp.zeros((4, 6, 5, 1)))
    output, before = trained(x, KEY), own(x, KEY)
    z = before.codes[0]
    assert (output.codes[0] == z).all()
    assert (output.log_lik(x) == before.log_lik(x)).all()
    log_p = trained.fitted.log_prob(z)
    log_q = before.latents[0].posterior.log_prob(z)
    np.testing.assert_allclose(output.rate(), log_q - log_p, rtol=1e-5)
    np.testing.assert_allclose(
        trained.encode(x, KEY)[0].log_ratio(), log_p - log_q, rtol=1e-5
    )
    prior = trained.prior(4)
    np.testing.assert_allclose(prior.log_prob((z,)), log_p, rtol=1e-5)
    drawn = trained.fitted.sample(KEY, 4)
    assert (prior.sample(KEY)[0] == drawn).all()
    np.testing.assert_allclose(
        trained.sample(KEY, 4).mean, trained.decode(drawn).mean, rtol=1e-5
    )
    assert output.latents[0].prior.mean.shape == (4, 3)


def test_evaluation_has_the_same_keys_and_says_which_prior(gaussian):
    own = opened.open_run(gaussian.workdir)
    effort = Effort(num_samples=2)
    results = {
        run.prior: remeasure(run, ["likelihood"], effort) for run in (own, gaussian)
    }
    assert results["gaussian"].keys() - results[None].keys() == {"prior"}
    assert results["gaussian"]["distortion"] == results[None]["distortion"]
    assert results["gaussian"]["rate"] != results[None]["rate"]
    file = gaussian.workdir / "evaluation" / "test_likelihood_prior-gaussian_k2.json"
    about = read_json(gaussian.workdir / "priors" / "gaussian" / "prior.json")
    assert read_json(file)["prior_crc32"] == about["arrays_crc32"]
    drawn = gaussian.draws(KEY, 3)
    assert drawn["mean"].shape == (3, 6, 5, 1)


@pytest.mark.slow
def test_discrete_codes_cost_what_the_fitted_prior_says(folder):
    run = opened.open_run(folder / "discrete")
    fit_prior(run, "autoregressive", {"width": 4, "num_layers": 1, "num_steps": 2})
    trained = run.with_prior("autoregressive").trained
    x = run.preprocess(jnp.zeros((4, 6, 5, 1)))

    @jax.jit
    def rates(trained, x):
        output = trained(x, KEY)
        return output.rate(), -trained.fitted.log_prob(output.codes[0])

    found, rate = rates(trained, x)
    np.testing.assert_allclose(found, rate, rtol=1e-5)
    assert (abs(rate - 3 * np.log(6)) < 3).all()  # hardly trained: near uniform


def refused(run, kind, **settings):
    """The one line for a fit that is not made."""
    with pytest.raises(ConfigError) as caught:
        fit_prior(run, kind, settings)
    return str(caught.value)


def test_what_is_not_defined_for_a_model_or_not_a_setting_is_one_line(folder):
    normal = opened.open_run(folder / "normal")
    discrete = opened.open_run(folder / "discrete")
    assert "needs discrete codes, and those" in refused(normal, "autoregressive")
    assert "needs codes of real numbers" in refused(discrete, "gmm")
    assert "Did you mean 'gmm'?" in refused(normal, "gmmm")
    line = refused(normal, "gmm", width=3)
    assert line == (
        "width=3: the prior gmm has no such setting (it has: num_components)"
    )
    assert "num_steps=0: must be a whole number" in refused(normal, "flow", num_steps=0)


def test_a_model_with_two_layers_has_none():
    for entry in fitted.BY_NAME.values():
        assert entry.why_not((None, None)) == (
            "needs one latent layer, and this model has 2"
        )


def test_a_prior_that_does_not_belong_to_the_run_as_it_stands(
    folder, gaussian, tmp_path
):
    run = opened.open_run(folder / "normal")
    with pytest.raises(
        ConfigError, match=r"prior=flow: .*it has: gaussian\).*fits one"
    ):
        run.with_prior("flow")
    later = dataclasses.replace(run, step=6)
    with pytest.raises(ConfigError, match=r"fitted at step 3, the run is at 6: fit it"):
        later.with_prior("gaussian")
    shutil.copytree(folder / "discrete", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "priors", ignore_errors=True)
    shutil.copytree(folder / "normal" / "priors", tmp_path / "run" / "priors")
    with pytest.raises(ConfigError, match="was fitted to another run"):
        opened.open_run(tmp_path / "run", "gaussian")


def test_damaged_files_of_a_prior_are_one_line(folder, gaussian, tmp_path):
    shutil.copytree(folder / "normal", tmp_path / "run")
    own = tmp_path / "run" / "priors" / "gaussian"
    content = (own / "arrays.npz").read_bytes()
    about = read_json(own / "prior.json")

    def refuse() -> None:
        with pytest.raises(DataError, match=f"{own} is damaged: fit it again"):
            opened.open_run(tmp_path / "run", "gaussian")

    for damaged in (content[:-9], b"", content.replace(b"mean", b"gone")):
        (own / "arrays.npz").write_bytes(damaged)
        refuse()
    (own / "arrays.npz").unlink()
    refuse()
    (own / "arrays.npz").write_bytes(content)
    write_json(own / "prior.json", {**about, "shape": [2, 2]})
    refuse()
    write_json(own / "prior.json", {"kind": "gaussian"})
    refuse()
    write_json(own / "prior.json", about)
    opened.open_run(tmp_path / "run", "gaussian")


@pytest.mark.slow
def test_discrete_codes_are_written_with_their_numbers(folder, tmp_path):
    run = opened.open_run(folder / "discrete")
    codes = codes_of_split(run, "test")
    dataset = run.dataset()
    posterior = run.encode(dataset.test.images)
    num_sites = codes["index"].shape[1]
    assert codes["index"].shape == (len(dataset.test.images), num_sites)
    vectors = np.asarray(posterior.codebook)[codes["index"]]
    np.testing.assert_allclose(vectors.reshape(codes["mean"].shape), codes["mean"])
    table = columns(codes)
    np.testing.assert_array_equal(table["index_0"], codes["index"][:, 0])
    np.savez(tmp_path / "own.npz", images=dataset.test.images)
    own, _ = codes_of_images(run, tmp_path / "own.npz")
    np.testing.assert_array_equal(own["index"], posterior.index)
