"""The loss of the semi-supervised autoencoder M2."""

import math

import jax
import jax.numpy as jnp

from vae_jax.objectives.base import objective
from vae_jax.outputs import VAEOutput
from vae_jax.types import Array, Examples, Hparams, Metrics

EXTRAS = ("class_log_lik", "class_rate", "class_log_prob")


def semi_supervised_loss(
    output: VAEOutput, x: Examples, hparams: Hparams
) -> tuple[Array, Metrics]:
    """Minus the bounds of log p(x, y) or log p(x), and the cross-entropy of q(y | x).

        bound_y = log p(x | z, y) - kl_weight * (KL(q(z | x, y) || p(z)) + log C)
        labelled row:    -bound_y of its class
        unlabelled row:  -sum_y q(y | x) bound_y + kl_weight * sum_y q(y | x) log q(y|x)

        loss = mean over all rows
               + classification_weight * mean over labelled rows of -log q(y | x)

    The sum over classes is exact; no class is drawn. Every row of the batch counts
    alike, so `data.labelled_batch_size` sets how labelled rows weigh against unlabelled
    ones. Where batches are drawn from all images alike (0), the loss is 1/N times the
    paper's with alpha = classification_weight * N for N images; there alpha = 0.1 N.
    That is so as long as every batch has a labelled row: one without has no second
    term, so few labels would count for less than the weight says.
    A larger kl_weight makes the class worth more to the decoder, since the code then
    costs more; configs/semi_supervised.py has what was found to work on MNIST.

    Source: Kingma et al. 2014, arXiv:1406.5298, equations 6 to 9.

    Args:
        output: output of an `M2` with a leading sample axis K.
        x: {"image": [B, ...], "label": [B]}; a negative label: unlabelled.
        hparams: "kl_weight" and "classification_weight".

    Returns:
        The loss in nats, and the metrics elbo, rate (KL(q(y, z | x) || p(y) p(z))) and
        distortion of unlabelled rows, labelled_elbo (the bound of log p(x, y)) and
        class_accuracy of labelled rows, and kl_weight. A metric of rows that a batch
        has none of is NaN.
    """
    log_lik, rate, log_q = (output.extras[name].mean(axis=0) for name in EXTRAS)
    label, weight = x["label"], hparams["kl_weight"]
    is_labelled = label >= 0
    own = jax.nn.one_hot(label, log_q.shape[1])  # zeros where there is no label
    q = jnp.exp(log_q)
    rate = rate + math.log(log_q.shape[1])  # and the part of y, where q(y | x) is 1

    def of_label(values: Array) -> Array:
        return (own * values).sum(axis=1)

    def bounds(weight: Array | float) -> tuple[Array, Array]:
        """Of log p(x, y) and of log p(x), [B]; the first is 0 without a label."""
        bound = log_lik - weight * rate
        return of_label(bound), (q * (bound - weight * log_q)).sum(axis=1)

    labelled, unlabelled = bounds(weight)
    cross_entropy = -of_label(log_q)
    num_labelled = jnp.maximum(is_labelled.sum(), 1)
    loss = -jnp.where(is_labelled, labelled, unlabelled).mean()
    loss += hparams["classification_weight"] * cross_entropy.sum() / num_labelled
    labelled_elbo, elbo = bounds(1.0)
    distortion = -(q * log_lik).sum(axis=1)
    return loss, {
        "elbo": elbo.mean(where=~is_labelled),
        "rate": -(elbo + distortion).mean(where=~is_labelled),
        "distortion": distortion.mean(where=~is_labelled),
        "labelled_elbo": labelled_elbo.mean(where=is_labelled),
        "class_accuracy": (log_q.argmax(axis=1) == label).mean(where=is_labelled),
        "kl_weight": weight,
    }


semi_supervised = objective(
    semi_supervised_loss,
    hparams=("kl_weight", "classification_weight"),
    needs_extras=EXTRAS,
)
