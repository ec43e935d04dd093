"""InfoVAE and Wasserstein autoencoders: the distance of all codes from the prior."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import flatten_event
from vae_jax.objectives.base import Objective, no_params
from vae_jax.objectives.elbo import elbo_loss
from vae_jax.outputs import Latent, VAEOutput
from vae_jax.types import Array, Examples, Hparams, Key, Metrics, Params

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernels


def inverse_multiquadratic(a: Array, b: Array) -> Array:
    """sum_s C s / (C s + |a_i - b_j|^2) over `SCALES`, with C = 2 D; [n, m].

    C is the mean squared distance of two draws of N(0, I). Source: Tolstikhin et al.
    2018, arXiv:1711.01558, section 4, with the scales of their code.

    Args:
        a: [n, D].
        b: [m, D].
    """
    # Differences rather than |a|^2 - 2 a b + |b|^2, whose rounding would not cancel.
    square = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    width = 2.0 * a.shape[1]
    return sum(width * s / (width * s + square) for s in SCALES)  # type: ignore


def mmd_squared(a: Array, b: Array) -> Array:
    """MMD^2 of two distributions, from n draws of each, [].

        sum_{i != j} (k(a_i, a_j) + k(b_i, b_j)) / (n (n - 1))
            - 2 / n^2 sum_ij k(a_i, b_j)

    This U-statistic is unbiased, and so may be negative: it is not clipped.

    Args:
        a: draws of one, [n, D], n at least 2.
        b: draws of the other, [n, D].
    """
    n = len(a)

    def of_pairs(own: Array) -> Array:
        kernel = inverse_multiquadratic(own, own)
        return (kernel * (1.0 - jnp.eye(n))).sum() / (n * (n - 1))

    return of_pairs(a) + of_pairs(b) - 2.0 * inverse_multiquadratic(a, b).mean()


def apply_mmd(
    params: Params, output: VAEOutput, x: Examples, hparams: Hparams, key: Key
) -> tuple[Array, Metrics]:
    """Distortion + kl_weight * rate + mmd_weight * MMD^2(q(z), p(z)).

    A draw of q(z) is the z of an example, and there are as many draws of the prior.

    - InfoVAE: kl_weight = 1 - alpha, mmd_weight = alpha + lambda - 1.
    - MMD-VAE: kl_weight = 0 and a large mmd_weight, 1000 in the paper.
    - WAE-MMD: model.posterior=deterministic, which has no rate, and mmd_weight =
      lambda; their cost |x - decoder(z)|^2 is the normal likelihood with a fixed scale
      of sqrt(1/2), but for a constant.

    A learned prior is drawn towards the codes through its draws as far as these have a
    gradient: the weights of a mixture have none.

    Sources: Zhao et al. 2019, arXiv:1706.02262, equation 6; Tolstikhin et al. 2018,
    arXiv:1711.01558, algorithm 2.

    Args:
        params: no parameters, {}.
        output: output of the model with a leading sample axis K.
        x: [B, ...], B at least 2.
        hparams: "kl_weight" and "mmd_weight".
        key: random key for the draws of the prior.

    Returns:
        The loss in nats, and the metrics elbo, rate, distortion, kl_weight and mmd,
        which is MMD^2 without its weight.
    """
    del params
    loss, metrics = elbo_loss(output, x, hparams)

    def of_draw(latent: Latent, key: Key) -> Array:
        drawn = latent.prior.sample(key)
        return mmd_squared(flatten_event(latent.z), flatten_event(drawn))

    (latent,) = output.latents
    keys = jax.random.split(key, len(latent.z))
    mmd = jax.vmap(of_draw)(latent, keys).mean()
    return loss + hparams["mmd_weight"] * mmd, metrics | {"mmd": mmd}


mmd = Objective(
    no_params,
    apply_mmd,
    hparams=("kl_weight", "mmd_weight"),
    one_layer=True,
    min_batch_size=2,
)
"""`apply_mmd` as an objective."""
