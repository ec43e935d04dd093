import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from vae_jax.training.norms import euclidean_norm


def tree(dtype=np.float32):
    numbers = np.random.default_rng(0)
    shapes = {"none": (0, 3), "one": (), "bias": (7,), "dense": (5, 3)}
    shapes["conv"] = (2, 2, 3, 4)
    leaves = {name: numbers.normal(size=shape) for name, shape in shapes.items()}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), leaves)


def expected(tree):
    everything = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return np.linalg.norm(everything)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_the_norm_is_that_of_all_numbers_in_a_row(dtype):
    leaves = tree(dtype)
    if dtype == np.complex64:
        leaves = jax.tree.map(lambda leaf: leaf * (1 + 2j), leaves)
    found = euclidean_norm(leaves)
    assert found.shape == () and found.dtype == np.float32
    np.testing.assert_allclose(found, expected(leaves), rtol=1e-6)


def test_16_bits_do_not_bound_the_norm():
    leaves = [jnp.full((400, 400), 2.0, dtype) for dtype in (jnp.float16, jnp.bfloat16)]
    np.testing.assert_allclose(euclidean_norm(leaves), 800 * np.sqrt(2), rtol=1e-6)


def test_members_of_an_ensemble_have_norms_of_their_own():
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), tree())
    norm = expected(tree())
    found = jax.jit(jax.vmap(euclidean_norm))(both)
    np.testing.assert_allclose(found, [norm, 2 * norm], rtol=1e-6)


def test_a_gpu_is_not_given_the_products_of_a_cpu():
    """There a product is a program of its own, and a small step mostly waits."""
    products = {
        platform: str(
            export.export(jax.jit(euclidean_norm), platforms=[platform])(
                {"dense": jax.ShapeDtypeStruct((5, 3), np.float32)}
            ).mlir_module()
        )
        for platform in ("cpu", "cuda")
    }
    assert "5x3xf32>, tensor<3xf32>" in products["cpu"]
    assert "5x3xf32>, tensor<3xf32>" not in products["cuda"]
