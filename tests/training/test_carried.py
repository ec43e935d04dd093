"""What a step carries: layers without state, and x of any structure."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vae_jax
from tests.training.small import HPARAMS, KEY, B, Model, X, jit, make
from vae_jax.distributions import Bernoulli
from vae_jax.errors import ContractError
from vae_jax.training.checks import check_output

# What a Flax module may hold that a step does not carry.

LAYERS = {
    "batch": (
        lambda h, key: nn.BatchNorm(use_running_average=False)(h),
        "keeps 'batch_stats' .*LayerNorm or GroupNorm",
    ),
    "spectral": (
        lambda h, key: nn.SpectralNorm(nn.Dense(3))(h, update_stats=True),
        "keeps variables beside .*WeightNorm in that of SpectralNorm",
    ),
    "dropout": (
        lambda h, key: nn.Dropout(0.5, deterministic=False)(h),
        r"Dropout_0 asks for the random stream 'dropout'.*Dropout\(.*rng=dropout_key",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_keep_more_than_parameters(name):
    layer, message = LAYERS[name]
    trainer = make(Model(layer))
    with pytest.raises(ContractError, match=message) as found:
        jax.eval_shape(trainer.init, KEY, X)
    assert "\n" not in str(found.value)


class Sowing(nn.Module):
    @nn.compact
    def __call__(self, h):
        self.sow("intermediates", "h", h)
        self.sow("mine", "h", h)
        return h


def test_layers_that_a_step_can_carry():
    for layer in (
        lambda h, key: nn.LayerNorm()(h),
        lambda h, key: nn.WeightNorm(nn.Dense(3))(h),
        lambda h, key: nn.Dropout(0.5, deterministic=False)(h, rng=key),
        lambda h, key: Sowing()(h),
    ):
        trainer = make(Model(layer))
        state = jax.eval_shape(trainer.init, KEY, X)
        jax.eval_shape(trainer.step, state, X, KEY, HPARAMS)


# x as a pytree that is no dict.


class Pair(NamedTuple):
    image: object
    label: object


@struct.dataclass
class Record:
    image: object
    label: object


@struct.dataclass
class OfPairs:
    """A likelihood over pairs, of the caller's own."""

    image: Bernoulli
    make: object = struct.field(pytree_node=False)

    def sample(self, key):
        return self.make(self.image.sample(key), jnp.zeros(self.image.logits.shape[0]))

    def log_prob(self, x):
        return self.image.log_prob(jax.tree.leaves(x)[0])


@pytest.mark.parametrize("make_x", [Pair, Record, lambda *parts: parts])
def test_x_is_any_pytree(make_x):
    x = make_x(X, np.zeros(B, np.float32))
    own = vae_jax.model_functions(Model())

    def apply_to_pairs(params, x, key):
        output = own.apply(params, jax.tree.leaves(x)[0], key)
        return output.replace(likelihood=OfPairs(output.likelihood, make_x))

    def image_only(output, x, hparams):
        return vae_jax.elbo(output, jax.tree.leaves(x)[0], hparams)

    def init(key, x):
        return jax.jit(own.init)(key, X)

    trainer = make(vae_jax.ModelFunctions(init, apply_to_pairs))
    state = jit(trainer.init)(KEY, x)
    loss = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    alone = jit(make().step)(state, X, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(loss, alone, rtol=1e-6)
    with pytest.raises(ContractError, match=r"x.* has the shape \(4, 3\)"):
        wrong = make_x(X[:, :3], np.zeros(B, np.float32))
        check_output(jax.eval_shape(apply_to_pairs, state.params, x, KEY), wrong)

    # The caller's objective may take one part of x, and the model another.
    def apply(params, x, key):
        return own.apply(params, jax.tree.leaves(x)[0], key)

    trainer = make(vae_jax.ModelFunctions(init, apply), image_only)
    trainer.init(KEY, x)  # not traced, so that values are looked at, too
    found = jit(trainer.step)(state, x, KEY, HPARAMS)[1]["loss"]
    np.testing.assert_allclose(found, alone, rtol=1e-6)
