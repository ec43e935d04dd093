"""The ladder, against a linear-Gaussian model whose posterior it can hold exactly."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from tests.battery import FAST_COMPILE
from vae_jax import elbo_loss, make_hparams, vae_trainer
from vae_jax.distributions import DiagonalNormal
from vae_jax.errors import ConfigError
from vae_jax.likelihoods import NormalLikelihood
from vae_jax.models.ladder import LadderVAE, ladder_vae, product
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.posteriors import DiagonalNormalPosterior
from vae_jax.priors import StandardNormal

DIM, B = 2, 4
X_STD = 0.8


def normal(dim):
    return nn.Sequential([MLPEncoder(()), DiagonalNormalPosterior(dim)])


def linear_ladder():
    body = MLPDecoder((DIM,), ())
    return LadderVAE(
        encoders=[MLPEncoder(()), MLPEncoder(())],
        encoder_heads=[DiagonalNormalPosterior(DIM) for _ in range(2)],
        prior=StandardNormal(DIM),
        decoders=[
            nn.Sequential([body, NormalLikelihood("fixed", X_STD)]),
            normal(DIM),
        ],
    )


def linear(kernel, bias=0.0):
    return {"kernel": jnp.asarray(np.diag(kernel)), "bias": jnp.full(DIM, bias)}


def constant_log_std(values):
    """A layer that gives these log standard deviations, behind `bound_log_std`."""
    raw = 10 * np.arctanh(np.asarray(values) / 10)
    return {"kernel": jnp.zeros((DIM, DIM)), "bias": jnp.asarray(raw)}


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    """x_d = c_d z1_d + noise and z1_d = a_d z2_d + noise, a chain for each d."""
    a, c, z1_std = np.array([0.9, -0.5]), np.array([1.3, 0.7]), np.array([0.6, 0.9])
    x_variance = c**2 * (a**2 + z1_std**2) + X_STD**2
    # z2 given x, whose noise is all that stands between them.
    noise = c**2 * z1_std**2 + X_STD**2
    z2_variance = 1 / (1 + (a * c) ** 2 / noise)
    params = {
        "encoder_heads_0": {
            "mean": linear(1 / c),
            "log_std": constant_log_std(np.log(X_STD / np.abs(c))),
        },
        "encoder_heads_1": {
            "mean": linear(z2_variance * a * c / noise),
            "log_std": constant_log_std(0.5 * np.log(z2_variance)),
        },
        "decoders_0": {"layers_0": {"Dense_0": linear(c)}},
        "decoders_1": {
            "layers_1": {
                "mean": linear(a),
                "log_std": constant_log_std(np.log(z1_std)),
            }
        },
    }
    x = jax.random.normal(jax.random.key(0), (B, DIM))
    exact = scipy.stats.norm(0, np.sqrt(x_variance)).logpdf(x).sum(axis=1)

    @jax.jit
    @jax.vmap
    def log_w(key):
        output = linear_ladder().apply({"params": params}, x, key)
        return output.log_w(x), output.rate(), -output.log_ratio()

    found, rate, minus_log_ratio = log_w(jax.random.split(jax.random.key(1), 500))
    np.testing.assert_allclose(found, np.tile(exact, (500, 1)), rtol=1e-4, atol=1e-4)
    # In closed form for each draw above, and so with less noise than the log-ratio.
    error = minus_log_ratio.std(axis=0) / np.sqrt(500)
    assert np.all(abs(rate.mean(axis=0) - minus_log_ratio.mean(axis=0)) < 5 * error)
    assert np.all(rate.std(axis=0) < minus_log_ratio.std(axis=0))


def test_product_is_proportional_to_the_product_of_the_densities():
    a = DiagonalNormal(jnp.array([[0.3, 4.0]]), jnp.array([[-1.0, 9.0]]))
    b = DiagonalNormal(jnp.array([[-0.5, -2.0]]), jnp.array([[0.5, -9.0]]))
    both = product(a, b)
    precision_a, precision_b = np.exp(-2.0 * a.log_std), np.exp(-2.0 * b.log_std)
    total = precision_a + precision_b
    mean = (a.mean * precision_a + b.mean * precision_b) / total
    np.testing.assert_allclose(both.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(both.variance, 1 / total, rtol=1e-5)


def test_every_layer_has_a_closed_form():
    keys = jax.random.key(0), jax.random.key(1)
    x = jax.ShapeDtypeStruct((B, DIM), jnp.float32)
    variables = jax.eval_shape(linear_ladder().init, keys[0], x, keys[1])
    output = jax.eval_shape(linear_ladder().apply, variables, x, keys[1])
    assert [latent.has_closed_form_kl for latent in output.latents] == [True, True]
    assert [latent.z.shape for latent in output.latents] == [(B, DIM)] * 2


def make_deep(**changes):
    def make_mlp(widths, norm="none"):
        return MLPEncoder(widths, norm=norm)

    body = MLPDecoder((DIM,), (5,), norm="batch")
    arguments = {
        "features": MLPEncoder((5,), norm="batch"),
        "decoder": nn.Sequential([body, NormalLikelihood("fixed", X_STD)]),
        "make_prior": StandardNormal,
        "make_mlp": make_mlp,
        "latent_dim": 3,
        "latent_dims": (2, 2),
        "hidden_dims": (4, 4),
        "norm": "batch",
    }
    return ladder_vae(**arguments | changes)


def test_batch_averages_move_in_training_and_stand_in_evaluation():
    trainer = vae_trainer(make_deep(), elbo_loss, optax.sgd(0.01))
    x = 3 + jax.random.normal(jax.random.key(0), (8, DIM))
    key, hparams = jax.random.key(1), make_hparams(kl_weight=1.0)
    state = jax.jit(trainer.init, compiler_options=FAST_COMPILE)(key, x)
    step = jax.jit(trainer.step, compiler_options=FAST_COMPILE)
    later, metrics = step(state, x, key, hparams)
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)), state.model_state, later.model_state
    )
    assert jax.tree.leaves(moved) and all(jax.tree.leaves(moved))
    # Of each layer, in nats, that next to the data first; together the rate.
    layers = [metrics[f"rate_layer{number}"] for number in (1, 2, 3)]
    np.testing.assert_allclose(sum(layers), metrics["rate"], rtol=1e-5)
    variables = {"params": later.params.model, **later.model_state}
    whole = make_deep().apply(variables, x, key)
    alone = make_deep().apply(variables, x[:1], key)
    np.testing.assert_allclose(
        whole.latents[-1].posterior.mean[:1], alone.latents[-1].posterior.mean, 1e-5
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"hidden_dims": (4,)}, r"hidden_dims=\(4,\): must be 2 widths"),
        ({"latent_dims": (), "hidden_dims": ()}, "latent_dims"),
        ({"num_hidden": 0}, "num_hidden=0: must be a whole number above 0"),
        ({"num_hidden": 100}, "num_hidden=100 makes 400 layers"),
        ({"norm": "bach"}, "norm=.bach.: must be one of none, layer, batch"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(changes, line):
    with pytest.raises(ConfigError, match=line):
        make_deep(**changes)
