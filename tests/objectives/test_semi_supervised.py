"""The loss of M2, term by term."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from vae_jax.distributions import kl_divergence
from vae_jax.distributions.one_hot import OneHot
from vae_jax.objectives.semi_supervised import semi_supervised_loss
from vae_jax.outputs import VAEOutput
from vae_jax.training.state import make_hparams

K, B, C = 2, 5, 4
NUMBERS = np.random.default_rng(1)
LOG_LIK = NUMBERS.normal(-80.0, 3.0, (K, B, C))
RATE = NUMBERS.uniform(2.0, 9.0, (K, B, C))
LOGITS = NUMBERS.normal(size=(B, C))
LABELS = np.array([1, -1, 3, -1, -1], np.int32)


def loss_of(labels=LABELS, log_q=None, **weights):
    if log_q is None:
        log_q = jnp.stack([jax.nn.log_softmax(jnp.asarray(LOGITS, jnp.float32))] * K)
    extras = {
        "class_log_lik": jnp.asarray(LOG_LIK, jnp.float32),
        "class_rate": jnp.asarray(RATE, jnp.float32),
        "class_log_prob": log_q,
    }
    hparams = make_hparams(
        **{"kl_weight": 1.0, "classification_weight": 0.0, **weights}
    )
    output = VAEOutput(None, (), extras)
    return semi_supervised_loss(output, {"image": None, "label": labels}, hparams)


def by_hand(weight):
    """The bounds row by row, [B], of the class or of the sum over classes."""
    q = scipy.special.softmax(LOGITS, axis=1)
    log_lik, rate = LOG_LIK.mean(axis=0), RATE.mean(axis=0)
    values = []
    for row, label in enumerate(LABELS):
        bound = [
            log_lik[row, y] - weight * (rate[row, y] + np.log(C)) for y in range(C)
        ]
        if label >= 0:
            values.append(bound[label])
        else:
            entropy = scipy.stats.entropy(q[row])
            values.append(q[row] @ bound + weight * entropy)
    return np.array(values)


@pytest.mark.parametrize("kl_weight", [1.0, 3.0])
def test_rows_count_alike_and_unlabelled_ones_sum_over_classes(kl_weight):
    loss, metrics = loss_of(kl_weight=kl_weight)
    assert loss == pytest.approx(-by_hand(kl_weight).mean(), rel=1e-5)
    bounds = by_hand(1.0)  # the metrics are at weight 1, whatever that of training
    assert metrics["elbo"] == pytest.approx(bounds[LABELS < 0].mean(), rel=1e-5)
    unlabelled, q = LABELS < 0, scipy.special.softmax(LOGITS, axis=1)
    distortion = -(q * LOG_LIK.mean(axis=0)).sum(axis=1)
    rate = (q * (RATE.mean(axis=0) + np.log(C * q))).sum(axis=1)
    assert metrics["rate"] == pytest.approx(rate[unlabelled].mean(), rel=1e-4)
    found = metrics["distortion"]
    assert found == pytest.approx(distortion[unlabelled].mean(), rel=1e-5)
    labelled = bounds[LABELS >= 0].mean()
    assert metrics["labelled_elbo"] == pytest.approx(labelled, rel=1e-5)


def test_the_classification_weight_is_of_the_mean_over_labelled_rows():
    log_q = scipy.special.log_softmax(LOGITS, axis=1)
    cross_entropy = -(log_q[0, 1] + log_q[2, 3]) / 2
    added = loss_of(classification_weight=7.0)[0] - loss_of()[0]
    assert added == pytest.approx(7 * cross_entropy, rel=1e-4)
    accuracy = np.mean([LOGITS[0].argmax() == 1, LOGITS[2].argmax() == 3])
    assert loss_of()[1]["class_accuracy"] == pytest.approx(accuracy)


def test_a_batch_of_one_kind_has_no_numbers_of_the_other():
    loss, metrics = loss_of(np.full(B, -1), classification_weight=7.0)
    assert np.isfinite(loss) and np.isnan(metrics["class_accuracy"])
    assert np.isnan(loss_of(np.arange(B) % C)[1]["elbo"])


def test_a_sure_classifier_leaves_the_gradient_finite():
    """Where q(y | x) is 0 to the last bit, so is its part of the loss."""

    def loss(logits):
        log_q = jnp.broadcast_to(jax.nn.log_softmax(logits), (K, B, C))
        return loss_of(log_q=log_q)[0]

    logits = jnp.tile(jnp.array([[0.0, 500.0, -500.0, 3.0]]), (B, 1))
    value, gradient = jax.value_and_grad(loss)(logits)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_classes_as_a_latent_variable_are_a_distribution():
    q, p = OneHot(jnp.asarray(LOGITS)), OneHot.uniform(B, C)
    vectors = jnp.eye(C)
    log_probs = jnp.stack([q.log_prob(jnp.tile(v, (B, 1))) for v in vectors], axis=1)
    wanted = scipy.special.log_softmax(LOGITS, axis=1)
    np.testing.assert_allclose(log_probs, wanted, rtol=1e-5)
    np.testing.assert_allclose(
        kl_divergence(q, p),
        np.log(C) - scipy.stats.entropy(np.exp(wanted), axis=1),
        rtol=1e-4,
    )
    sure = OneHot.certain(jnp.arange(B) % C, C)
    np.testing.assert_allclose(kl_divergence(sure, p), np.log(C), rtol=1e-6)
    np.testing.assert_array_equal(kl_divergence(sure, sure), 0)
    draws = jax.vmap(q.sample)(jax.random.split(jax.random.key(0), 4000))
    assert ((draws == 0) | (draws == 1)).all() and (draws.sum(axis=2) == 1).all()
    np.testing.assert_allclose(draws.mean(axis=0), np.exp(wanted), atol=0.04)
    np.testing.assert_allclose(q.variance, draws.var(axis=0), atol=0.03)
