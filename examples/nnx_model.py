"""A Flax NNX module as a model: its parameters as a pure dict, the rest made again.

An NNX module holds its arrays, and `vae_trainer` needs functions of them.
`nnx_functions` makes the pair: parameters are taken out of a module when training
begins, and put into a fresh one, whose random streams come from the key of the call,
each time the model runs. The data are three random bits, each written two or three
times, so that log p(x) is exactly -3 log 2 = -2.08 nats; the model must come within a
nat of it.

    python -m examples.nnx_model
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import vae_jax
from vae_jax.distributions import Bernoulli, DiagonalNormal

NUM_STEPS = 1500


def nnx_functions(make: Callable[[nnx.Rngs], Any]) -> vae_jax.ModelFunctions:
    """The functions of an NNX module whose `__call__(x, key)` returns a VAEOutput.

    Args:
        make: rngs -> module. Random streams such as that of dropout are made again from
            the key of each call.

    Returns:
        The pair that `vae_trainer` and `evaluate` take.
    """

    def init(key: jax.Array, x: Any) -> Any:
        del x
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: Any, x: Any, key: jax.Array) -> vae_jax.VAEOutput:
        # What is drawn for the parameters here is never used, and never computed.
        module = make(nnx.Rngs(key))
        state = nnx.state(module, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(module, state)
        return module(x, key)

    return vae_jax.ModelFunctions(init, apply)


class Model(nnx.Module):
    """Two small networks around one latent layer."""

    def __init__(self, rngs: nnx.Rngs):
        """Draws the initial parameters."""
        self.features = nnx.Linear(8, 32, rngs=rngs)
        self.dropout = nnx.Dropout(0.02, rngs=rngs)
        self.code = nnx.Linear(32, 6, rngs=rngs)
        self.hidden = nnx.Linear(3, 32, rngs=rngs)
        self.logits = nnx.Linear(32, 8, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array) -> vae_jax.VAEOutput:
        """x [B, 8] -> p(x | z) and one latent layer."""
        h = self.dropout(nnx.gelu(self.features(x)))
        mean, log_std = jnp.split(self.code(h), 2, axis=1)
        posterior = DiagonalNormal(mean, log_std)
        z = posterior.sample(key)
        logits = self.logits(nnx.gelu(self.hidden(z)))
        prior = DiagonalNormal.standard_like(z)
        return vae_jax.VAEOutput(
            Bernoulli(logits), (vae_jax.Latent(z=z, posterior=posterior, prior=prior),)
        )


def load(count: int, seed: int) -> np.ndarray:
    """Three random bits, each repeated: [count, 8]."""
    bits = np.random.default_rng(seed).integers(2, size=(count, 3))
    return np.float32(bits[:, [0, 0, 0, 1, 1, 1, 2, 2]])


def main() -> dict[str, float]:
    """Trains the module and evaluates it on new data."""
    model = nnx_functions(Model)
    traces = []

    def counted(params: Any, x: Any, key: jax.Array) -> vae_jax.VAEOutput:
        traces.append(1)
        return model.apply(params, x, key)

    trainer = vae_jax.vae_trainer(
        model._replace(apply=counted), vae_jax.elbo_loss, optax.adam(3e-3)
    )
    x = load(64, seed=0)
    state = trainer.init(jax.random.key(0), x)
    before = len(traces)
    step = jax.jit(trainer.step, donate_argnums=0)
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    for _ in range(NUM_STEPS):
        state, _ = step(state, x, jax.random.key(1), hparams)
    in_training = len(traces) - before
    found = vae_jax.evaluate(
        model, state.eval_params, load(512, seed=1), jax.random.key(2)
    )
    best = -3 * float(np.log(2))
    print(
        f"ELBO {found['elbo']:.2f}, log p(x) {-found['nll']:.2f} nats; log p(x) of the"
        f" data {best:.2f}; the step was traced {in_training} time(s)"
    )
    return {
        "elbo": found["elbo"],
        "log_px": -found["nll"],
        "exact_log_px": best,
        "traces": in_training,
    }


if __name__ == "__main__":
    main()
