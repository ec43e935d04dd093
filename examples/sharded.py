"""The train step over several devices: the caller says where arrays lie, no more.

Parameters are copied to every device and the batch is cut along its first axis; the
step is the same function as on one device, and the compiler adds what has to be
exchanged. Here four devices are simulated on the CPU; with real ones, leave out
`jax_num_cpu_devices`. Training on four devices must equal training on one.

    python -m examples.sharded
"""

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

import vae_jax

NUM_DEVICES, NUM_STEPS, BATCH_SIZE = 4, 30, 128


def make_model() -> vae_jax.VAE:
    """A small VAE of 8x8 digits."""
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


def train(num_devices: int) -> np.ndarray:
    """Losses of some steps on the first `num_devices` devices."""
    mesh = jax.make_mesh(
        (num_devices,),
        ("data",),
        devices=jax.devices()[:num_devices],
        axis_types=(AxisType.Auto,),
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    cut = NamedSharding(mesh, PartitionSpec("data"))

    digits = (load_digits().data > 7).astype(np.float32)
    trainer = vae_jax.vae_trainer(make_model(), vae_jax.elbo_loss, optax.adam(1e-3))
    step = jax.jit(trainer.step, donate_argnums=0)
    state = jax.device_put(trainer.init(jax.random.key(0), digits[:1]), everywhere)
    key = jax.device_put(jax.random.key(1), everywhere)
    hparams = jax.device_put(vae_jax.make_hparams(kl_weight=1.0), everywhere)
    losses = []
    for i in range(NUM_STEPS):
        rows = np.random.default_rng(i).integers(len(digits), size=BATCH_SIZE)
        x = jax.device_put(digits[rows], cut)
        state, metrics = step(state, x, key, hparams)
        losses.append(float(metrics["loss"]))
    devices = jax.tree.leaves(state.params)[0].sharding.device_set
    print(f"{len(devices)} device(s): loss {losses[0]:.4f} to {losses[-1]:.4f} nats")
    assert len(devices) == num_devices
    return np.asarray(losses)


def main() -> dict[str, float]:
    """Compares the losses of four devices and one."""
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)  # before JAX is first used
    one, four = train(1), train(NUM_DEVICES)
    difference = float(np.max(np.abs(one - four) / np.abs(one)))
    print(f"largest relative difference of a loss: {difference:.1e}")
    first, last = float(one[0]), float(one[-1])
    return {"relative_difference": difference, "first": first, "last": last}


if __name__ == "__main__":
    main()
