"""Signals of different lengths, padded and masked.

Each signal is a sum of two waves of known frequencies with random amplitudes and
phases, plus noise, and stops after 12 to 40 steps. What lies behind the end is padding:
the encoder sets it to zero, and `tabular.Masked` leaves it out of the likelihood.
Signals of that kind are jointly Gaussian, so log p(x) is known exactly, and no model
can do better: the VAE's importance-weighted bound has to come within a nat per signal
(26 steps on average), and what stands in the padding must not matter at all.

    python -m examples.sequence
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import vae_jax

LATENT_DIM, LENGTH, NOISE = 4, 40, 0.3
FREQUENCIES = (0.35, 0.9)  # radians per step
NUM_STEPS, BATCH_SIZE = 1500, 64


class SequenceVAE(nn.Module):
    """The encoder is given the observed steps and their mask; all layers are dense."""

    @nn.compact
    def __call__(self, x: Any, key: jax.Array) -> vae_jax.VAEOutput:
        """x = {"value": [B, T, 1], "observed": [B, T]}."""
        observed = x["observed"]
        value = jnp.where(observed[:, :, None], x["value"], 0.0)
        inputs = jnp.concatenate([value[:, :, 0], observed], axis=1)
        features = vae_jax.MLPEncoder((256, 128))(inputs)
        posterior = vae_jax.posteriors.DiagonalNormalPosterior(LATENT_DIM)(features)
        z = posterior.sample(key)
        prior = vae_jax.priors.StandardNormal(LATENT_DIM)(len(z))
        mean = vae_jax.MLPDecoder((LENGTH, 1), (64,))(z)
        likelihood = vae_jax.likelihoods.NormalLikelihood("learned")(mean)
        return vae_jax.VAEOutput(
            likelihood=vae_jax.tabular.Masked(likelihood),
            latents=(vae_jax.Latent(z=z, posterior=posterior, prior=prior),),
        )


def waves() -> np.ndarray:
    """Sine and cosine of each frequency at each step, [T, 4]."""
    phase = np.outer(np.arange(LENGTH), FREQUENCIES)
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)


def draw(count: int, seed: int) -> dict[str, np.ndarray]:
    """Signals with everything behind their end set to NaN."""
    numbers = np.random.default_rng(seed)
    value = numbers.normal(size=(count, waves().shape[1])) @ waves().T
    value += NOISE * numbers.normal(size=value.shape)
    lengths = numbers.integers(12, LENGTH + 1, size=count)
    observed = np.arange(LENGTH)[None, :] < lengths[:, None]
    value = np.where(observed, value, np.nan).astype(np.float32)
    return {"value": value[:, :, None], "observed": observed}


def exact_log_px(x: dict[str, np.ndarray]) -> float:
    """Mean over signals of log N(x; 0, W W^T + NOISE^2 I), at the observed steps."""
    total = 0.0
    for value, observed in zip(x["value"][:, :, 0], x["observed"], strict=True):
        seen, basis = value[observed].astype(np.float64), waves()[observed]
        covariance = basis @ basis.T + NOISE**2 * np.eye(len(seen))
        _, log_det = np.linalg.slogdet(covariance)
        square = seen @ np.linalg.solve(covariance, seen)
        total += -0.5 * (square + log_det + len(seen) * np.log(2 * np.pi))
    return total / len(x["value"])


def main() -> dict[str, float]:
    """Trains on fresh signals and compares with the exact likelihood of others."""
    model = SequenceVAE()
    tx = optax.adam(optax.cosine_decay_schedule(5e-3, NUM_STEPS))
    trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, tx)
    step = jax.jit(trainer.step, donate_argnums=0)
    state = trainer.init(jax.random.key(0), draw(BATCH_SIZE, seed=0))
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    for i in range(NUM_STEPS):
        x = draw(BATCH_SIZE, seed=i + 1)
        state, _ = step(state, x, jax.random.key(1), hparams)

    test = draw(300, seed=10**6)
    padded = {**test, "value": np.nan_to_num(test["value"], nan=1e6)}
    functions = vae_jax.model_functions(model)
    found, again = (
        vae_jax.evaluate(
            functions, state.eval_params, x, jax.random.key(2), num_samples=200
        )
        for x in (test, padded)
    )
    results = {
        "log_px": -found["nll"],
        "exact_log_px": exact_log_px(test),
        "changed_by_padding": abs(found["nll"] - again["nll"]),
    }
    print(
        f"log p(x) per signal: VAE {results['log_px']:.2f} (ELBO {found['elbo']:.2f}),"
        f" exact {results['exact_log_px']:.2f};"
        f" padding changes it by {results['changed_by_padding']}"
    )
    return results


if __name__ == "__main__":
    main()
