"""The convolutional top-down model: one pass for codes, draws and densities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from tests.battery import FAST_COMPILE, random_params
from tests.runs_helpers import spec_of
from vae_jax import build
from vae_jax.errors import ConfigError, ContractError
from vae_jax.evaluation.likelihood import importance_statistics
from vae_jax.likelihoods import BernoulliLikelihood, LogisticMixtureLikelihood
from vae_jax.models.stack import parse_blocks
from vae_jax.models.top_down import TopDownVAE
from vae_jax.networks.convolution import depth_to_space, space_to_depth
from vae_jax.trained import Trained
from vae_jax.training.functions import apply_samples, model_functions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
KEY = jax.random.key(3)
B = 3


def model_of(blocks, shape, width=8, latent_dim=2, **settings):
    likelihood = BernoulliLikelihood()
    return TopDownVAE(likelihood, shape, shape, latent_dim, blocks, width, **settings)


def binary(shape):
    return jnp.round(jax.random.uniform(jax.random.key(0), (B, *shape)))


@pytest.fixture(scope="module")
def small():
    """A model with three layers, parameters away from their start, and a batch."""
    model, x = model_of("1x1,2x2", (4, 4, 2)), binary((4, 4, 2))
    return Trained(model, random_params(model_functions(model), x)), x


@pytest.fixture(scope="module")
def output(small):
    trained, x = small
    return jit(lambda t, x: t.model.apply({"params": t.params}, x, KEY))(trained, x)


def test_shapes_of_codes_and_images():
    grey = model_of("1x2,7x5,14x3", (28, 28, 1), latent_dim=4)
    colour = TopDownVAE(
        likelihood=LogisticMixtureLikelihood(2),
        image_shape=(16, 16, 3),
        output_shape=(16, 16, LogisticMixtureLikelihood(2).num_features(3)),
        latent_dim=4,
        blocks="2x1,16x2",
    )
    for model, sides in ((grey, [14] * 3 + [7] * 5 + [1] * 2), (colour, [16, 16, 2])):
        x = jax.ShapeDtypeStruct((B, *model.image_shape), jnp.float32)
        functions = model_functions(model)
        params = jax.eval_shape(functions.init, KEY, x)
        out = jax.eval_shape(functions.apply, params, x, KEY)
        assert model.num_layers == len(sides)
        assert [z.shape for z in out.codes] == [(B, r, r, 4) for r in sides]
        assert jax.eval_shape(lambda p: p.mean, out.likelihood).shape == x.shape


def test_divergence_starts_at_zero_and_every_layer_has_it_in_closed_form():
    model, x = model_of("1x1,4x1", (8, 8, 1)), binary((8, 8, 1))
    params = jit(model.init)(KEY, x, KEY)
    out = jit(model.apply)(params, x, KEY)
    for latent in out.latents:
        assert latent.has_closed_form_kl
        np.testing.assert_array_equal(latent.kl(), 0)
    assert np.all(out.latents[0].z != 0)


def test_decoding_the_drawn_codes_is_the_rest_of_the_model(small, output):
    trained, x = small
    latents = jit(Trained.encode)(trained, x, KEY)
    jax.tree.map(np.testing.assert_allclose, latents, output.latents)
    decoded = jit(Trained.decode)(trained, output.codes)
    np.testing.assert_allclose(
        decoded.logits, output.likelihood.logits, rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ContractError, match="codes of all its 3 layers, .* given 1"):
        trained.decode(output.codes[0])
    with pytest.raises(ContractError, match="not conditional"):
        trained.decode(output.codes, given=x)


def test_density_of_the_joint_prior_is_the_product_of_the_layers(small, output):
    log_prob = jit(lambda t, codes: t.prior(B).log_prob(codes))
    of_layers = [latent.prior.log_prob(latent.z) for latent in output.latents]
    np.testing.assert_allclose(
        log_prob(small[0], output.codes), np.sum(of_layers, axis=0), rtol=1e-5
    )


def test_layers_above_are_kept_and_those_below_drawn(small):
    trained, _ = small
    prior = trained.prior(5)

    @jit
    def draws(trained, keys):
        whole = trained.prior(5).sample(keys[0])
        kept = [trained.prior(5).sample(keys[0], above=whole[i:]) for i in range(3)]
        other = trained.prior(5).sample(keys[1], above=whole[1:])
        still = trained.prior(5).sample(keys[1], temperature=0.0, above=whole[1:])
        again = trained.prior(5).sample(keys[0], temperature=0.0, above=whole[1:])
        return whole, kept, other, still, again

    whole, kept, other, still, again = draws(trained, jax.random.split(KEY))
    for codes in kept:  # each layer has a key of its own
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
            codes,
            whole,
        )
    assert all(np.array_equal(a, b) for a, b in zip(other[1:], whole[1:], strict=True))
    assert np.all(other[0] != whole[0])
    np.testing.assert_array_equal(still[0], again[0])  # the mean, which no key moves
    with pytest.raises(ContractError, match="codes of 4 layers, and the model has 3"):
        prior.sample(KEY, above=(*whole, whole[0]))
    with pytest.raises(ContractError, match="codes are of 4 layers, and the model has"):
        prior.log_prob((*whole, whole[0]))


def test_many_samples_reach_the_likelihood_of_a_sum_over_all_codes():
    """Of two layers with one number each; the prior's density there is a density."""
    model, x = model_of("1x2", (2, 2, 1), width=6, latent_dim=1), binary((2, 2, 1))
    functions = model_functions(model)
    params = random_params(functions, x)
    axis = np.linspace(-7, 7, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    # p(zL) is no standard normal: nodes lie where it has its mass.
    trained = Trained(model, params)

    @jit
    def terms(trained, grid, x):
        codes = tuple(z.reshape(-1, 1, 1, 1) for z in (grid[:, 0], grid[:, 1]))
        log_prior = trained.prior(len(grid)).log_prob(codes)
        images = jnp.broadcast_to(x[:, None], (B, len(grid), *x.shape[1:]))
        likelihood = trained.decode(codes)
        return log_prior, jax.vmap(likelihood.log_prob)(images)

    log_prior, log_lik = map(np.float64, terms(trained, jnp.float32(grid), x))
    area = (axis[1] - axis[0]) ** 2
    assert area * np.exp(log_prior).sum() == pytest.approx(1, abs=1e-4)
    exact = np.log(area * np.exp(log_prior[None] + log_lik).sum(axis=1))
    found = jit(importance_statistics, static_argnums=(0, 4, 5))(
        functions.apply, params, x, KEY, 20_000, 1000
    )
    error = 1 / np.sqrt(found["ess"])
    assert np.all(error < 0.05)
    assert np.all(np.abs(found["log_px"] - exact) < 5 * error)
    assert np.all(exact + found["distortion"] + found["rate"] > -5 * error)


def test_closed_form_rate_is_the_expectation_of_the_log_ratio(small):
    trained, x = small
    apply = model_functions(trained.model).apply

    @jit
    def both(params):
        outputs = apply_samples(apply, params, x, KEY, 4000)
        return jax.vmap(lambda out: (out.rate(), -out.log_ratio()))(outputs)

    rate, ratio = map(np.float64, both(trained.params))
    error = (rate - ratio).std(axis=0) / np.sqrt(len(rate))
    assert np.all(np.abs((rate - ratio).mean(axis=0)) < 5 * error)
    assert np.all(rate.mean(axis=0) > 10 * error)


def test_bfloat16_is_for_the_networks_only():
    model, x = model_of("1x1,4x1", (4, 4, 1), dtype=jnp.bfloat16), binary((4, 4, 1))
    functions = model_functions(model)
    params = jax.eval_shape(functions.init, KEY, x)
    lowered = jax.jit(functions.apply).lower(params, x, KEY)
    assert "bf16" in lowered.as_text()
    leaves = jax.tree.leaves([params, lowered.out_info])
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_pixels_of_a_block_become_channels_and_come_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    deep = space_to_depth(x, (2, 3))
    assert deep.shape == (2, 2, 2, 18)
    np.testing.assert_array_equal(deep[1, 1, 0].reshape(2, 3, 3), x[1, 2:4, :3])
    np.testing.assert_array_equal(depth_to_space(deep, (2, 3)), x)


WRONG = {
    "7x": "must be RESOLUTIONxCOUNT",
    "": "must be RESOLUTIONxCOUNT",
    "7,14": "must be RESOLUTIONxCOUNT",
    "1x0,7x2": "must be above 0",
    "7x1": "has 1 blocks, and there must be 2 to 200",
    "7x300": "has 300 blocks",
    "4x1,14x1": "14 is none of 4",
    "7x2,7x1": "7 is none of 7",
    "5x1,15x1": "the last resolution, 15, must divide the side of the images, 28",
}


def test_blocks_that_do_not_fit_are_answered_in_one_line():
    assert parse_blocks("1x2,7x5,14x3", (28, 28, 1)) == ((1, 2), (7, 5), (14, 3))
    for blocks, message in WRONG.items():
        with pytest.raises(ConfigError) as error:
            model_of(blocks, (28, 28, 1))
        assert str(error.value).startswith(f"blocks={blocks!r}: "), blocks
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="the blocks are square, but .* are 28x20"):
        model_of("1x1,2x1", (28, 20, 1))


def test_images_of_a_run_are_compared_with_the_blocks_of_its_config():
    """Not before the data are known: the config alone may be of any images."""
    config = default.get_config()
    config.model.name, config.top_down.blocks = "top_down", "1x1,7x1"
    build.check(config)
    build.make_parts(config, spec_of(28, 28, 1))
    with pytest.raises(ConfigError, match=r"^top_down.blocks='1x1,7x1': .* images, 8"):
        build.make_parts(config, spec_of(8, 8, 1))
