"""A model that is given labels: which parts see them, and that each sees its own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE, random_params
from vae_jax import terms
from vae_jax.errors import ConfigError, ContractError
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.conditional import ConditionalVAE
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import LabelNormal, StandardNormal
from vae_jax.trained import Trained, image_likelihood
from vae_jax.training.functions import apply_samples, model_functions

B, D, CLASSES, SHAPE = 3, 2, 4, (2, 3, 2)
KEY = jax.random.key(1)
LABEL = jnp.array([2, 0, 2])
IMAGE = jnp.round(jax.random.uniform(jax.random.key(0), (B, *SHAPE)))
X = {"image": IMAGE, "label": LABEL}


def conditional(prior: nn.Module) -> ConditionalVAE:
    return ConditionalVAE(
        encoder=nn.Sequential([MLPEncoder((5,)), DiagonalNormalPosterior(D)]),
        prior=prior,
        decoder=nn.Sequential([MLPDecoder(SHAPE, (5,)), BernoulliLikelihood()]),
        num_classes=CLASSES,
    )


@pytest.fixture(scope="module")
def trained():
    model = conditional(LabelNormal(D, CLASSES))
    return Trained(model, random_params(model_functions(model), X))


@pytest.fixture(scope="module")
def apply():
    return jax.jit(Trained.__call__, compiler_options=FAST_COMPILE)


def test_each_distribution_is_of_the_label_of_its_own_row(trained, apply):
    """And of nothing but which label it is."""

    def numbers(label):
        output = apply(trained, {"image": IMAGE, "label": jnp.array(label)}, KEY)
        (latent,) = output.latents
        # The same codes for any labels: what is left is the decoder's own look at them.
        decoded = trained.decode(jnp.ones((B, D)), jnp.array(label))
        return (
            latent.posterior.mean,
            latent.prior.mean,
            latent.prior.log_std,
            image_likelihood(decoded).logits,
        )

    before, after = numbers([2, 0, 2]), numbers([2, 3, 2])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[::2], other[::2])
        assert (one[1] != other[1]).all()
    for of_prior in before[1:3]:
        np.testing.assert_array_equal(of_prior[0], of_prior[2])


def test_halves_are_those_of_the_whole(trained, apply):
    output = apply(trained, X, KEY)
    (latent,) = output.latents
    given = trained.given(X)
    np.testing.assert_array_equal(given, LABEL)
    decoded = trained.decode(output.codes, given)
    np.testing.assert_allclose(decoded.log_prob(X), output.log_lik(X), rtol=1e-5)
    log_prior = trained.prior(B, given).log_prob(output.codes)
    np.testing.assert_allclose(log_prior, latent.prior.log_prob(latent.z), rtol=1e-5)
    draw = trained.sample(KEY, B, given).mean["image"]
    (z,) = trained.prior(B, given).sample(KEY)
    np.testing.assert_array_equal(draw, trained.decode(z, given).mean["image"])


def test_the_label_is_given_and_not_modelled(trained):
    functions = model_functions(trained.model)
    output = apply_samples(functions.apply, trained.params, X, KEY, 1)
    likelihood = jax.tree.map(lambda leaf: leaf[0], image_likelihood(output.likelihood))
    log_lik = terms(output, X).log_lik[0]
    np.testing.assert_allclose(log_lik, likelihood.log_prob(IMAGE), rtol=1e-5)
    assert output.likelihood.parts.keys() == {"image"}


def test_normals_of_labels_start_as_the_standard_normal():
    prior, _ = LabelNormal(D, CLASSES).init_with_output(KEY, B, LABEL)
    standard = StandardNormal(D)(B)
    np.testing.assert_array_equal(prior.mean, standard.mean)
    np.testing.assert_array_equal(prior.log_std, standard.log_std)


def test_any_other_prior_is_the_same_for_all_labels():
    model = conditional(StandardNormal(D))
    params = random_params(model_functions(model), X)
    (z,) = Trained(model, params).prior(B, LABEL).sample(KEY)
    np.testing.assert_array_equal(z, StandardNormal(D)(B).sample(KEY))


def test_labels_that_are_missing_or_too_few_are_one_line(trained):
    z = jnp.zeros((B, D))
    for call in (lambda: trained.decode(z), lambda: trained.prior(B)):
        with pytest.raises(ContractError, match="is given labels: `given` is None"):
            call()
    with pytest.raises(ContractError, match=r"\(2,\): it must be 3 labels, \[3\]"):
        trained.prior(B, LABEL[:2])
    with pytest.raises(ConfigError, match="num_classes=0: must be a whole number"):
        ConditionalVAE(MLPEncoder(), StandardNormal(D), MLPDecoder(SHAPE), 0)


@pytest.mark.parametrize("label", [[0, 4, 1], [0, -1, 1]])
def test_labels_that_are_no_classes_are_refused_where_they_are_known(trained, label):
    label = np.array(label)
    message = f"label {label[1]} is none of the classes 0, ..., 3"
    with pytest.raises(ContractError, match=message):
        trained.encode({"image": IMAGE, "label": label}, KEY)
    with pytest.raises(ContractError, match=message):
        trained.sample(KEY, B, given=label)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (IMAGE, r"x is no dict: .* so it needs x\['image'\]"),
        ({"image": IMAGE}, r"x is a dict of \['image'\]: .* so it needs x\['label'\]"),
        (
            {**X, "label": LABEL[:, None]},
            r"labels are int32 of shape \(3, 1\): they mus",
        ),
        ({**X, "label": LABEL * 1.0}, r"float32 .* they must be whole numbers, \[B\]"),
    ],
)
def test_examples_of_another_form_are_one_line(trained, x, message):
    for encode in (
        trained.encode,
        lambda *given: jax.eval_shape(trained.encode, *given),
    ):
        with pytest.raises(ContractError, match=message):
            encode(x, KEY)
