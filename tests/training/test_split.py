"""A split model has the values of the model and two halves of its gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import linear_gaussian as lg
from tests.battery import FAST_COMPILE
from vae_jax.errors import ConfigError
from vae_jax.likelihoods import BernoulliLikelihood
from vae_jax.models.top_down import TopDownVAE
from vae_jax.training.functions import ModelFunctions, model_functions
from vae_jax.training.split import separate_encoder

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)
MODEL = ModelFunctions(lambda key, x: lg.make_params(shift=0.3), lg.apply)
SPLIT = model_functions(separate_encoder(MODEL))
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def halves():
    """The split output, and the gradients of the log-weights of its two parts."""
    params = lg.make_params(shift=0.3)
    x = lg.draw_x(params, 4)

    def log_w(params, part):
        return getattr(SPLIT.apply(params, x, KEY), part).log_w(x).sum()

    gradients = {
        part: jit(jax.grad(log_w), static_argnums=1)(params, part)
        for part in ("encoder", "decoder")
    }
    whole = jit(jax.grad(lambda params: lg.apply(params, x, KEY).log_w(x).sum()))
    return params, x, gradients, whole(params)


def test_values_and_parameters_are_those_of_the_model(halves):
    params, x, _, _ = halves
    both = jit(lambda p, x: (lg.apply(p, x, KEY), SPLIT.apply(p, x, KEY)))
    output, split = both(params, x)
    for part in (split.encoder, split.decoder):
        jax.tree.map(np.testing.assert_array_equal, output, part)
    jax.tree.map(np.testing.assert_array_equal, params, SPLIT.init(KEY, x))


@pytest.mark.parametrize(
    ("part", "other"), [("encoder", "decoder"), ("decoder", "encoder")]
)
def test_each_part_has_its_own_share_of_the_gradient(halves, part, other):
    _, _, gradients, whole = halves
    for leaf in jax.tree.leaves(whole[part]):
        assert (leaf != 0).any()
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        gradients[part][part],
        whole[part],
    )
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients[part][other]))


def test_every_name_with_the_prefix_belongs_to_the_encoder():
    def apply(params, x, key):
        return params

    split = model_functions(
        separate_encoder(ModelFunctions(lambda key, x: None, apply))
    )
    names = ("encoders_0", "encoders_1", "decoders_0", "prior")
    params = {name: jnp.ones(()) for name in names}

    def reached(part):
        def total(params):
            return sum(getattr(split.apply(params, None, KEY), part).values())

        return {name for name, slope in jax.grad(total)(params).items() if slope}

    assert reached("encoder") == {"encoders_0", "encoders_1"}
    assert reached("decoder") == {"decoders_0", "prior"}


def test_parts_of_the_encoder_may_stand_elsewhere():
    """In a top-down model, in each block; what the model says is kept."""
    model = TopDownVAE(
        likelihood=BernoulliLikelihood(),
        image_shape=(2, 2, 1),
        output_shape=(2, 2, 1),
        latent_dim=1,
        blocks="1x1,2x1",
        width=2,
    )
    x = np.ones((2, 2, 2, 1), np.float32)
    params = jit(model.init)(KEY, x, KEY)["params"]
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), params)
    split = model_functions(separate_encoder(model))

    def reached(part):
        def log_w(params):
            return getattr(split.apply(params, x, KEY), part).log_w(x).sum()

        slopes = jax.tree_util.tree_leaves_with_path(jit(jax.grad(log_w))(params))
        return {jax.tree_util.keystr(path) for path, s in slopes if np.any(s)}

    encoder, decoder = reached("encoder"), reached("decoder")
    assert not encoder & decoder
    shifts = {name for name in encoder | decoder if "to_shift" in name}
    assert shifts and shifts <= encoder
    assert all("to_shift" in name or "['encoder']" in name for name in encoder)


@pytest.mark.parametrize("prefix", ["", "q_"])
def test_prefix_that_tells_nothing_apart_is_refused(halves, prefix):
    params, x, _, _ = halves
    with pytest.raises(ConfigError, match=f"encoder_prefix='{prefix}'.*'encoder'"):
        model_functions(separate_encoder(MODEL, prefix)).apply(params, x, KEY)
