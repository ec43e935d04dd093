"""The train step over several devices: the caller says where arrays lie, no more.

Parameters are copied to every device and the batch is cut along its first axis; the
step is the same function as on one device, and the compiler adds what has to be
exchanged. Here four devices are simulated on the CPU; with real ones, leave out
`jax_num_cpu_devices`. Training on four devices must equal training on one.

`train_mapped` does the same inside `jax.shard_map`, where each device runs the step on
its own rows and exchanges what `axis_name` says: gradients and metrics are averaged.
The noise of each device is its own, so it is compared on a plain autoencoder, which has
none.

    python -m examples.sharded
"""

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

import vae_jax
from vae_jax.posteriors import DeterministicPosterior, DiagonalNormalPosterior

NUM_DEVICES, NUM_STEPS, BATCH_SIZE = 4, 30, 128


def make_model(posterior: type = DiagonalNormalPosterior) -> vae_jax.VAE:
    """A small VAE of 8x8 digits, or an autoencoder."""
    return vae_jax.VAE(
        encoder=nn.Sequential(
            [
                vae_jax.MLPEncoder((64,)),
                posterior(8),
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


def make_mesh(num_devices: int) -> jax.sharding.Mesh:
    """The first devices, along an axis for the examples of a batch."""
    return jax.make_mesh(
        (num_devices,),
        ("data",),
        devices=jax.devices()[:num_devices],
        axis_types=(AxisType.Auto,),
    )


def train(num_devices: int, posterior: type = DiagonalNormalPosterior) -> np.ndarray:
    """Losses of some steps on the first `num_devices` devices."""
    mesh = make_mesh(num_devices)
    everywhere = NamedSharding(mesh, PartitionSpec())
    cut = NamedSharding(mesh, PartitionSpec("data"))

    digits = (load_digits().data > 7).astype(np.float32)
    trainer = vae_jax.vae_trainer(
        make_model(posterior), vae_jax.elbo_loss, optax.adam(1e-3)
    )
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


def train_mapped(num_devices: int) -> np.ndarray:
    """Losses of the autoencoder, each device with its rows, in `shard_map`."""
    mesh = make_mesh(num_devices)
    whole, cut = PartitionSpec(), PartitionSpec("data")
    trainer = vae_jax.vae_trainer(
        make_model(DeterministicPosterior),
        vae_jax.elbo_loss,
        optax.adam(1e-3),
        axis_name="data",
    )
    step = jax.jit(
        jax.shard_map(
            trainer.step,
            mesh=mesh,
            in_specs=(whole, cut, whole, whole),
            out_specs=(whole, whole),
            check_vma=False,
        )
    )
    digits = (load_digits().data > 7).astype(np.float32)
    state = trainer.init(jax.random.key(0), digits[:1])
    hparams = vae_jax.make_hparams(kl_weight=1.0)
    losses = []
    for i in range(NUM_STEPS):
        rows = np.random.default_rng(i).integers(len(digits), size=BATCH_SIZE)
        state, metrics = step(state, digits[rows], jax.random.key(1), hparams)
        losses.append(float(metrics["loss"]))
    return np.asarray(losses)


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest of a series of losses."""
    return float(np.max(np.abs(one - other) / np.abs(one)))


def main() -> dict[str, float]:
    """Compares the losses of four devices and one."""
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)  # before JAX is first used
    one, four = train(1), train(NUM_DEVICES)
    difference = relative_difference(one, four)
    plain, mapped = train(1, DeterministicPosterior), train_mapped(NUM_DEVICES)
    in_map = relative_difference(plain, mapped)
    print(f"largest relative difference of a loss: {difference:.1e}, {in_map:.1e}")
    return {
        "relative_difference": difference,
        "relative_difference_mapped": in_map,
        "first": float(one[0]),
        "last": float(one[-1]),
    }


if __name__ == "__main__":
    main()
