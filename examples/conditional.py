"""A conditional VAE: the label goes into encoder, prior and decoder.

`x` is a dict of an image and its label, and the model is a Flax module of your own
that returns a VAEOutput. The likelihood is a product with one part, "image", so the
label is given and not modelled: the ELBO bounds log p(image | label). Knowing the label
must be worth something: the held-out bound has to be higher than that of the same
network without labels by a nat at least. (A label carries at most log 10 = 2.3 nats;
the rest is a better fit to few data.)
Source: Sohn et al. 2015, "Learning structured output representation ...", equation 4.

    python -m examples.conditional
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import vae_jax
from vae_jax.distributions import DiagonalNormal

LATENT_DIM, NUM_STEPS, BATCH_SIZE = 8, 1000, 100


class ConditionalVAE(nn.Module):
    """q(z | image, label), p(z | label), p(image | z, label)."""

    use_label: bool = True

    def setup(self) -> None:
        """Two layers each; the prior is linear in the label."""
        self.encoder = nn.Sequential(
            [
                vae_jax.MLPEncoder((128,)),
                vae_jax.posteriors.DiagonalNormalPosterior(LATENT_DIM),
            ]
        )
        self.prior = vae_jax.posteriors.DiagonalNormalPosterior(LATENT_DIM)
        self.decoder = vae_jax.MLPDecoder((64,), (128,))

    def label_code(self, label: jax.Array) -> jax.Array:
        """One-hot labels [B, 10], or zeros for the model that must not see them."""
        return jax.nn.one_hot(label, 10) * self.use_label

    def prior_of(self, code: jax.Array) -> DiagonalNormal:
        """p(z | label), or N(0, I) without labels."""
        if self.use_label:
            return self.prior(code)
        zeros = jnp.zeros((len(code), LATENT_DIM))
        return DiagonalNormal(zeros, zeros)

    def decode(self, z: jax.Array, code: jax.Array) -> vae_jax.tabular.Product:
        """p(image | z, label): of the part "image" of x only."""
        logits = self.decoder(jnp.concatenate([z, code], axis=1))
        return vae_jax.tabular.Product(
            {"image": vae_jax.distributions.Bernoulli(logits)}
        )

    def __call__(self, x: Any, key: jax.Array) -> vae_jax.VAEOutput:
        """x = {"image": [B, 64], "label": [B]}."""
        code = self.label_code(x["label"])
        posterior = self.encoder(jnp.concatenate([x["image"], code], axis=1))
        z = posterior.sample(key)
        latent = vae_jax.Latent(z=z, posterior=posterior, prior=self.prior_of(code))
        return vae_jax.VAEOutput(likelihood=self.decode(z, code), latents=(latent,))

    def draw(self, label: jax.Array, key: jax.Array) -> jax.Array:
        """Images of the given labels, [B, 64]."""
        code = self.label_code(label)
        z = self.prior_of(code).sample(key)
        return self.decode(z, code).mean["image"]


def load() -> tuple[Any, Any]:
    """Binary digits with labels: 1,198 to train on, 599 to test."""
    digits = load_digits()
    data = {
        "image": (digits.data > 7).astype(np.float32),
        "label": digits.target.astype(np.int32),
    }
    held_out = np.arange(len(digits.target)) % 3 == 0
    train, test = (
        {name: value[rows] for name, value in data.items()}
        for rows in (~held_out, held_out)
    )
    return train, test


def main() -> dict[str, float]:
    """Trains with and without labels; draws ten images of every digit."""
    train, test = load()
    results = {}
    for name, use_label in (("conditional", True), ("unconditional", False)):
        model = ConditionalVAE(use_label)
        trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, optax.adam(2e-3))
        step = jax.jit(trainer.step, donate_argnums=0)
        state = trainer.init(jax.random.key(0), train)
        numbers = np.random.default_rng(1)
        for _ in range(NUM_STEPS):
            rows = numbers.integers(len(train["label"]), size=BATCH_SIZE)
            x = {part: value[rows] for part, value in train.items()}
            hparams = vae_jax.make_hparams(kl_weight=1.0)
            state, _ = step(state, x, jax.random.key(1), hparams)
        found = vae_jax.evaluate(model, state.eval_params, test, jax.random.key(2))
        results |= {f"{name}_elbo": found["elbo"], f"{name}_log_px": -found["nll"]}
        print(f"{name:13}: ELBO {found['elbo']:.2f}, log p(x) {-found['nll']:.2f} nats")
        if use_label:
            wanted = np.repeat(np.arange(10), 10)
            drawn = model.apply(
                {"params": state.eval_params}, wanted, jax.random.key(3), method="draw"
            )
            judge = LogisticRegression(max_iter=1000)
            judge.fit(train["image"], train["label"])
            results["recognised"] = float(judge.score(np.round(drawn), wanted))
            results["real_recognised"] = float(
                judge.score(test["image"], test["label"])
            )
    print(
        f"of 100 images drawn on demand {results['recognised']:.0%} are recognised as"
        f" what was asked for; of real ones {results['real_recognised']:.0%}"
    )
    return results


if __name__ == "__main__":
    main()
