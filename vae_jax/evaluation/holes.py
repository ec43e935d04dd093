"""Where the prior has mass and the codes have none."""

import jax
import jax.numpy as jnp

from vae_jax.evaluation.aggregate import Codes, Prior, PriorOfCodes
from vae_jax.evaluation.classifier import fit_classifier
from vae_jax.types import Array, Key

HIDDEN_DIMS = (128, 128, 128)
NUM_STEPS = 1000
NUM_DRAWS = 60_000  # that the classifier is trained with, of the prior and of q(z) each


def hole_mass(codes: Codes, heldout_z: Array, prior: Prior, key: Key) -> float:
    """The share of the prior that the codes leave empty: integral of max(p - q, 0) dz.

    It is the total variation distance between p(z) and q(z), and any classifier of the
    two gives a lower bound, 2 accuracy - 1 (a classifier two-sample test: Lopez-Paz and
    Oquab 2017). Trained on codes of the training split and judged on codes of held-out
    images, the classifier can't learn the single spikes that a posterior of almost no
    variance makes, so the number means the same at every KL weight and for a plain
    autoencoder.

    Args:
        codes: means and standard deviations of q(z | x) on the training split.
        heldout_z: one draw of q(z | x) for each held-out image, [M, D].
        prior: p(z).
        key: random key for the draws and the training.

    Returns:
        A lower bound in [0, 1], up to an error of about 1 / sqrt(2 M), by which it may
        also fall below 0.
    """
    p, heldout_p = prior(NUM_DRAWS), prior(heldout_z.shape[0])
    return float(2 * _accuracy(codes, heldout_z, p, heldout_p, key) - 1)


@jax.jit
def _accuracy(
    codes: Codes, heldout_z: Array, p: PriorOfCodes, heldout_p: PriorOfCodes, key: Key
) -> Array:
    code_key, prior_key, heldout_key, fit_key = jax.random.split(key, 4)
    z = jnp.concatenate([codes.sample(code_key, NUM_DRAWS), p.sample(prior_key)])
    heldout = jnp.concatenate([heldout_z, heldout_p.sample(heldout_key)])
    scale = jnp.sqrt((z**2).mean(axis=0, keepdims=True))
    return fit_classifier(
        z / scale,
        jnp.repeat(jnp.arange(2), NUM_DRAWS),
        heldout / scale,
        jnp.repeat(jnp.arange(2), heldout_z.shape[0]),
        fit_key,
        num_classes=2,
        hidden_dims=HIDDEN_DIMS,
        num_steps=NUM_STEPS,
    ).accuracy
