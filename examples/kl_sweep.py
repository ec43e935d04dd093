"""Six KL weights over a model of your own, trained side by side as one program.

`ensemble` puts an axis of members in front of states, keys and hyperparameters. The KL
weight is a traced number, so the step is traced once whatever the weights are. A larger
weight buys a smaller rate with a larger distortion: the curve must fall, and it does.

    python -m examples.kl_sweep
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import vae_jax

WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
NUM_STEPS, BATCH_SIZE = 1500, 100


def make_model() -> vae_jax.VAE:
    """Encoder and decoder may be any modules; these are of one layer each."""
    return vae_jax.VAE(
        encoder=nn.Sequential(
            [
                vae_jax.MLPEncoder((64,)),
                vae_jax.posteriors.DiagonalNormalPosterior(8),
            ]
        ),
        prior=vae_jax.priors.StandardNormal(8),
        decoder=nn.Sequential(
            [
                vae_jax.MLPDecoder((64,), (64,)),
                vae_jax.likelihoods.BernoulliLikelihood(),
            ]
        ),
    )


def main() -> dict[str, list[float] | int]:
    """Trains all weights and evaluates each on held-out digits."""
    digits = (load_digits().data > 7).astype(np.float32)  # [1797, 64], 0 or 1
    train, test = jnp.asarray(digits[:1500]), jnp.asarray(digits[1500:])
    model = make_model()
    trainer = vae_jax.vae_trainer(model, vae_jax.elbo_loss, optax.adam(3e-3))
    many = vae_jax.ensemble(trainer)
    traces = 0

    @jax.jit
    def fit(states, keys, hparams):  # noqa: ANN001, ANN202
        def one_step(states, i):  # noqa: ANN001, ANN202
            nonlocal traces
            traces += 1
            row_key = jax.random.fold_in(jax.random.key(3), i)
            x = train[jax.random.randint(row_key, (BATCH_SIZE,), 0, len(train))]
            return many.step(states, x, keys, hparams)

        return jax.lax.scan(one_step, states, jnp.arange(NUM_STEPS))

    keys = jax.random.split(jax.random.key(1), len(WEIGHTS))
    hparams = vae_jax.make_hparams(kl_weight=WEIGHTS)  # one array, [6]
    states = many.init(jax.random.split(jax.random.key(0), len(WEIGHTS)), train[:1])
    states, _ = fit(states, keys, hparams)

    functions = vae_jax.model_functions(model)  # made once: one compilation for all
    rates, distortions, nlls = [], [], []
    print("KL weight    rate  distortion     NLL  (held out, nats per image)")
    for i, weight in enumerate(WEIGHTS):
        params = jax.tree.map(lambda leaf, i=i: leaf[i], states.params)
        found = vae_jax.evaluate(functions, params, test, jax.random.key(2))
        rates.append(found["rate"])
        distortions.append(found["distortion"])
        nlls.append(found["nll"])
        print(f"{weight:9} {rates[-1]:7.2f} {distortions[-1]:11.2f} {nlls[-1]:7.2f}")
    print(f"the step was traced {traces} time")
    return {"rate": rates, "distortion": distortions, "nll": nlls, "traces": traces}


if __name__ == "__main__":
    main()
