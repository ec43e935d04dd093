"""Networks for images of any size: shapes, gradients, and an identity."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.battery import FAST_COMPILE, random_params, without_gradient
from vae_jax.errors import ConfigError
from vae_jax.networks.conv import ConvDecoder, ConvEncoder, UpConv
from vae_jax.networks.convolution import as_products, convolve
from vae_jax.networks.dense import DenseOfMaps, flat_product
from vae_jax.networks.gated import GatedMLPDecoder, GatedMLPEncoder
from vae_jax.networks.mlp import MLPDecoder, MLPEncoder
from vae_jax.networks.residual import (
    ResidualBlock,
    ResidualDecoder,
    ResidualEncoder,
    SelfAttention,
)
from vae_jax.training.functions import ModelFunctions

jit = functools.partial(jax.jit, compiler_options=FAST_COMPILE)

SHAPES = [
    (28, 28, 1),
    (8, 8, 1),
    (32, 32, 3),
    (20, 28, 1),
    (64, 64, 3),
    (7, 5, 2),
    (1, 1, 1),
]
B, D = 3, 4
KEY = jax.random.key(1)
NHWC = ("NHWC", "HWIO", "NHWC")


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def params_of(module, rows):
    """Parameters away from their starting values."""
    return random_params(ModelFunctions(module.init, module.apply), rows)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (MLPEncoder((6, 5)), lambda shape: MLPDecoder(shape, (5, 6))),
        (GatedMLPEncoder((6, 5)), lambda shape: GatedMLPDecoder(shape, (5, 6))),
        (ConvEncoder((2, 3), 5), lambda shape: ConvDecoder(shape, (3, 2), 5)),
    ],
    ids=["mlp", "gated", "conv"],
)
def test_any_size_and_every_parameter_counts(shape, encoder, decoder):
    x, z = normal(0, (B, *shape)), normal(1, (B, D))
    for module, rows, out_shape in (
        (encoder, x, (B, 5)),
        (decoder(shape), z, (B, *shape)),
    ):
        params = params_of(module, rows)

        @jit
        @jax.grad
        def gradient(params, module=module, rows=rows, out_shape=out_shape):
            out = module.apply(params, rows)
            assert out.shape == out_shape
            return (out * normal(3, out_shape)).sum()

        assert without_gradient(gradient(params)) == []


@pytest.mark.parametrize(
    "network",
    [
        MLPEncoder((6,)),
        ConvEncoder((2,), 5),
        ResidualEncoder((4,), (1,), 5, attention=True),
    ],
)
def test_examples_do_not_mix(network):
    x = normal(0, (B, 6, 6, 1))
    params = params_of(network, x)
    apply = jit(network.apply)
    one = np.asarray(apply(params, x))
    x[0] = 9.0
    other = np.asarray(apply(params, x))
    np.testing.assert_allclose(one[1:], other[1:], rtol=1e-6)
    assert (one[0] != other[0]).any()


CONVOLUTIONS = [  # image, kernel, strides, padding
    ((8, 8, 2), (4, 4, 2, 3), (2, 2), "SAME"),
    ((7, 5, 1), (4, 4, 1, 3), (2, 2), "SAME"),
    ((9, 7, 2), (4, 2, 2, 3), (2, 1), "VALID"),  # a row at the end counts for nothing
    ((6, 5, 2), (2, 2, 2, 5), (1, 1), ((1, 1), (1, 1))),
    ((6, 5, 9), (2, 2, 9, 2), (1, 1), "VALID"),  # fewer features than channels
    ((6, 5, 4), (3, 3, 4, 4), (1, 1), "SAME"),  # many offsets
    ((6, 5, 9), (3, 3, 9, 2), (1, 1), "SAME"),  # both
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_products_are_the_convolution(case):
    image, kernel_shape, strides, padding = case
    x, kernel = normal(0, (B, *image)), normal(1, kernel_shape)

    if isinstance(padding, str):
        sizes = x.shape[1:3], kernel_shape[:2]
        padding = jax.lax.padtype_to_pads(*sizes, strides, padding)

    def outcome(form):
        def loss(x, kernel):
            y = form(x, kernel, strides, padding)
            return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), y

        return jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)

    library = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=NHWC)
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(same, outcome(as_products), outcome(library))


@pytest.mark.parametrize(
    "settings",
    [{"lhs_dilation": (2, 2)}, {"rhs_dilation": (2, 2)}, {"feature_group_count": 2}],
)
def test_what_products_cannot_do_is_refused(settings):
    x, kernel = np.ones((B, 8, 8, 2)), np.ones((4, 4, 2, 2))
    with pytest.raises(ValueError, match="does not support dilation or groups"):
        convolve(x, kernel, (2, 2), "SAME", dimension_numbers=NHWC, **settings)


@pytest.mark.parametrize(
    ("kernel_shape", "stride", "on_cuda"),
    [
        ((4, 4, 16, 16), 2, True),
        ((4, 4, 1, 32), 2, False),  # few channels
        ((4, 4, 32, 4), 2, False),  # few features
        ((3, 3, 1, 32), 1, True),  # many offsets
        ((2, 2, 32, 64), 1, False),  # few offsets
    ],
    ids=str,
)
def test_where_convolutions_are_products(kernel_shape, stride, on_cuda):
    x = np.ones((B, 8, 8, kernel_shape[2]), np.float32)
    kernel = np.ones(kernel_shape, np.float32)

    def loss(kernel):
        strides = (stride, stride)
        return convolve(x, kernel, strides, "SAME", dimension_numbers=NHWC).sum()

    traced = jax.jit(jax.grad(loss)).trace(kernel)
    for platform, expected in (("cpu", False), ("cuda", on_cuda), ("tpu", True)):
        program = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.convolution" in program) == expected


def test_a_dense_layer_of_maps_is_a_dense_layer():
    x = normal(0, (B, 3, 4, 5))
    params = jit(nn.Dense(6).init)(KEY, x)

    def outcome(layer):
        def loss(params, x):
            y = layer.apply(params, x)
            return jnp.cos(y).sum(), y

        return jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)

    same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(same, outcome(DenseOfMaps(6)), outcome(nn.Dense(6)))


def test_other_products_than_of_the_last_axis_are_refused():
    with pytest.raises(ValueError, match="does not support the dimensions"):
        flat_product(np.ones((2, 3)), np.ones((2, 4)), (((0,), (0,)), ((), ())))


def test_up_convolution_is_a_transposed_convolution():
    """The same map as lax.conv_transpose with the kernel's entries put in place."""
    height, width, channels, features = 3, 4, 2, 3
    h = normal(0, (B, height, width, channels))
    module = UpConv(features)
    params = jax.tree.map(np.asarray, params_of(module, h)["params"]["Conv_0"])
    params = {**params, "bias": np.zeros_like(params["bias"])}
    # Output pixel (2i + a, 2j + b) of block (i, j) sees the inputs at i - 1 + p, ...
    kernel = params["kernel"].reshape(2, 2, channels, 2, 2, features)
    full = kernel.transpose(0, 3, 1, 4, 2, 5)[::-1, :, ::-1]
    full = full.reshape(4, 4, channels, features)
    expected = jax.lax.conv_general_dilated(
        h,
        full[::-1, ::-1],
        window_strides=(1, 1),
        padding=((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    out = jit(module.apply)({"params": {"Conv_0": params}}, h)
    assert out.shape == (B, 2 * height, 2 * width, features)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_inside_and_float32_outside():
    z = np.ones((B, D), np.float32)
    decoder = ConvDecoder((8, 8, 1), (3, 2), 5, dtype=jnp.bfloat16)
    params = params_of(decoder, z)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    out = jit(decoder.apply)(params, z)
    assert out.dtype == jnp.float32
    rounded = out.astype(jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(out, rounded)


def test_a_residual_network_keeps_the_places_of_an_image():
    """With `spatial`; without, features and codes are rows, as with other networks."""
    key = jax.random.key(0)
    for shape, small in (((28, 28, 1), (7, 7)), ((30, 50, 3), (8, 13))):
        x = jax.ShapeDtypeStruct((B, *shape), jnp.float32)
        for spatial, code in ((True, (*small, D)), (False, (D,))):
            sizes = {"spatial": spatial, "attention": True, "hidden_dim": 5}
            encoder = ResidualEncoder((4, 6), (0, 1), **sizes)
            features, _ = jax.eval_shape(encoder.init_with_output, key, x)
            assert features.shape == (B, *((*small, 6) if spatial else (5,)))
            decoder = ResidualDecoder((*shape[:2], 7), (6, 4), (1, 0), **sizes)
            z = jax.ShapeDtypeStruct((B, *code), jnp.float32)
            out, _ = jax.eval_shape(decoder.init_with_output, key, z)
            assert out.shape == (B, *shape[:2], 7)


def test_residual_blocks_and_attention_start_as_the_identity():
    h = normal(0, (B, 4, 3, 8))
    for module in (ResidualBlock(), SelfAttention()):
        out, params = jit(module.init_with_output)(KEY, h)
        np.testing.assert_array_equal(out, h)
        other = random_params(ModelFunctions(module.init, module.apply), h)
        assert jax.tree.structure(other) == jax.tree.structure(params)
        assert (np.asarray(jit(module.apply)(other, h)) != h).any()


@pytest.mark.parametrize("num_blocks", [(1,), (1, 2, 3), 2, (1, -1), (1, 0.5)])
def test_a_residual_network_has_a_number_of_blocks_for_each_width(num_blocks):
    with pytest.raises(ConfigError, match=r"num_blocks=.* each of the 2 channels="):
        ResidualEncoder((4, 8), num_blocks)
