"""FactorVAE: the total correlation of the codes, as a critic sees it."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from vae_jax.distributions.base import flatten_event
from vae_jax.objectives.base import Objective, with_gradient_of
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.outputs import VAEOutput
from vae_jax.ranges import COUNT, LAYERS, POSITIVE, require
from vae_jax.types import Array, Examples, Hparams, Key, Metrics, Params

SLOPE = 0.2  # of the leaky ReLU below 0
B1, B2 = 0.5, 0.9  # of the critic's Adam


class Critic(nn.Module):
    """Codes [B, D] -> log odds that they come from q(z) and not its marginals, [B].

    One output stands for the difference of the paper's two logits.
    """

    hidden_dim: int
    num_hidden: int

    @nn.compact
    def __call__(self, z: Array) -> Array:
        for _ in range(self.num_hidden):
            z = nn.leaky_relu(nn.Dense(self.hidden_dim)(z), SLOPE)
        return nn.Dense(1)(z)[:, 0]


def permute_dimensions(z: Array, key: Key) -> Array:
    """Codes [B, D] with each dimension permuted over the batch on its own."""
    return jax.random.permutation(key, z, axis=0, independent=True)


def factor(
    hidden_dim: int = 1000, num_hidden: int = 5, learning_rate: float = 1e-4
) -> Objective:
    """Minus the ELBO + tc_weight * the total correlation that a critic sees.

        distortion + kl_weight * rate + tc_weight * mean critic(z)

    At its best the critic is log q(z) - sum_d log q(z_d), whose mean over q(z) is the
    total correlation. It learns to tell the codes of the first half of the batch from
    those of the second half with dimensions permuted: two independent batches, as in
    the paper. Both losses have one backward pass; neither has a gradient in the
    parameters of the other. The `tc_weight` is the paper's gamma. Source: Kim and Mnih
    2018, arXiv:1802.05983, algorithm 2. Locatello et al. 2019 use six hidden layers
    and the same batch for both.

    Args:
        hidden_dim: width of the critic's hidden layers.
        num_hidden: how many there are; the output is one more.
        learning_rate: that of the critic's Adam, which has b1 = 0.5 and b2 = 0.9.

    Returns:
        An objective with parameters and an optimiser of its own. Metrics: elbo, rate,
        distortion, kl_weight, tc (in nats, the mean over the whole batch),
        critic_loss (log 2 = 0.69 where it can tell nothing) and critic_accuracy.

    Raises:
        ConfigError: an argument is out of its range.
    """
    require(COUNT, hidden_dim=hidden_dim)
    require(LAYERS, num_hidden=num_hidden)
    require(POSITIVE, learning_rate=learning_rate)
    critic: Any = Critic(hidden_dim, num_hidden)

    def init(key: Key, output: VAEOutput) -> Params:
        return critic.init(key, flatten_event(output.latents[0].z[0]))["params"]

    def of_draw(params: Params, z: Array, key: Key) -> Metrics:
        def judge(params: Params, z: Array) -> Array:
            return critic.apply({"params": params}, z)

        z = flatten_event(z)
        tc = judge(jax.lax.stop_gradient(params), z).mean()
        half = len(z) // 2
        constant = jax.lax.stop_gradient(z)
        fake = permute_dimensions(constant[half:], key)
        logits = judge(params, jnp.concatenate([constant[:half], fake]))
        errors = nn.softplus(-logits[:half]), nn.softplus(logits[half:])
        right = (logits[:half] > 0).mean(), (logits[half:] < 0).mean()
        return {
            "tc": tc,
            "critic_loss": 0.5 * (errors[0].mean() + errors[1].mean()),
            "critic_accuracy": 0.5 * (right[0] + right[1]),
        }

    def apply(
        params: Params, output: VAEOutput, x: Examples, hparams: Hparams, key: Key
    ) -> tuple[Array, Metrics]:
        loss, metrics = elbo_loss(output, x, hparams)
        z = output.latents[0].z  # [K, B, ...]
        keys = jax.random.split(key, len(z))
        seen = jax.vmap(of_draw, in_axes=(None, 0, 0))(params, z, keys)
        seen = {name: values.mean() for name, values in seen.items()}
        total = loss + hparams["tc_weight"] * seen["tc"]
        return with_gradient_of(total, seen["critic_loss"]), metrics | seen

    return Objective(
        init,
        apply,
        hparams=("kl_weight", "tc_weight"),
        one_layer=True,
        min_batch_size=4,  # a permutation of one code changes nothing
        optimizer=optax.adam(learning_rate, B1, B2),
    )
