"""Optuna proposes 16 settings at a time, and one compiled program trains all of them.

`ask` gives a setting and `tell` takes its result. Settings that are numbers of
`hparams` are members of one ensemble: so 16 are asked for, trained side by side and
told, and the next 16 know of them. The step is traced once for all rounds. The search
is for the learning rate and the KL weight with the smallest NLL of held-out digits.

    pip install optuna
    python -m examples.optuna_search
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import vae_jax

MEMBERS, ROUNDS = 16, 3
NUM_STEPS, BATCH_SIZE = 300, 100


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


def main() -> dict[str, float | list[float]]:
    """Searches, and says what the best setting of each round was."""
    import optuna  # no package of vae_jax needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    digits = (load_digits().data > 7).astype(np.float32)  # [1797, 64], 0 or 1
    train, test = jnp.asarray(digits[:1500]), jnp.asarray(digits[1500:])
    model, traces = make_model(), 0
    # The learning rate is a traced number like the KL weight, not the optimiser's own.
    adam = optax.chain(optax.scale_by_adam(), vae_jax.scale_by_hparam("learning_rate"))
    many = vae_jax.ensemble(vae_jax.vae_trainer(model, vae_jax.elbo_loss, adam))
    functions = vae_jax.model_functions(model)

    @jax.jit
    def fit(hparams):  # noqa: ANN001, ANN202
        """The NLL of each member, [M], nats per image."""
        # All begin alike and see the same batches, so only the settings differ.
        init_keys = jnp.broadcast_to(jax.random.key(0), (MEMBERS,))
        keys = jnp.broadcast_to(jax.random.key(1), (MEMBERS,))

        def one_step(states, i):  # noqa: ANN001, ANN202
            nonlocal traces
            traces += 1
            row_key = jax.random.fold_in(jax.random.key(3), i)
            x = train[jax.random.randint(row_key, (BATCH_SIZE,), 0, len(train))]
            return many.step(states, x, keys, hparams)[0], None

        states = many.init(init_keys, train[:1])
        states, _ = jax.lax.scan(one_step, states, jnp.arange(NUM_STEPS))
        return jax.vmap(
            lambda params: vae_jax.evaluate(
                functions, params, test, jax.random.key(2), num_samples=10
            )["nll"]
        )(states.eval_params)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    best = []
    print("round  learning rate  KL weight     NLL  (best so far; held out, nats)")
    for number in range(1, ROUNDS + 1):
        trials = [study.ask() for _ in range(MEMBERS)]
        asked = {
            "learning_rate": [
                trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
                for trial in trials
            ],
            "kl_weight": [
                trial.suggest_float("kl_weight", 0.05, 8.0, log=True)
                for trial in trials
            ],
        }
        nlls = np.asarray(fit(vae_jax.make_hparams(**asked)))
        for trial, nll in zip(trials, nlls, strict=True):
            if np.isfinite(nll):
                study.tell(trial, float(nll))
            else:  # a learning rate that is too large
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        best.append(float(study.best_value))
        found = study.best_params
        rate, weight = found["learning_rate"], found["kl_weight"]
        print(f"{number:5} {rate:14.2g} {weight:10.2g} {best[-1]:7.2f}")
    print(f"{len(study.trials)} trainings, the step was traced {traces} time")
    return {"best": best, "traces": traces, "trials": len(study.trials), **found}


if __name__ == "__main__":
    main()
