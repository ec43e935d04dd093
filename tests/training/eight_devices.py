"""Trains on eight simulated devices and prints what came of it, as JSON.

A program of its own, because the number of devices is fixed once JAX has started.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np

from tests.runs_helpers import small_config, spec_of
from vae_jax import build, traced
from vae_jax.data.batches import InMemoryBatches
from vae_jax.data.dsprites import SPRITES
from vae_jax.data.rendered import drawn
from vae_jax.data.streaming import StreamedBatches
from vae_jax.errors import ConfigError
from vae_jax.keys import root_key
from vae_jax.training.chunks import ChunkInput, compile_chunk
from vae_jax.training.ensemble import over_members
from vae_jax.training.mesh import make_layout, member, place

STEPS, M = 30, 8
CONFIG = small_config(
    **{"data.batch_size": 64, "mlp.hidden_dims": (32,), "model.latent_dim": 4}
)
IMAGES = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 1), np.uint8)


def train(mesh, mode, streamed=False):
    """Metrics of the last of 30 steps, their program, and the states."""
    parts = build.make_parts(CONFIG, spec_of(*IMAGES.shape[1:]))
    trainer = build.make_trainer(CONFIG, parts)
    count = M if mode == "vmap" else 1
    keys = jax.random.split(build.run_key(CONFIG), count)
    hparams = traced.make_member_hparams([CONFIG] * count)
    if mode == "vmap":
        hparams["kl_weight"] = jnp.linspace(0.0, 4.0, M)
    batch_size = CONFIG.data.batch_size
    layout = make_layout(
        mesh, batch_size=batch_size, members=M if mode == "vmap" else None
    )
    order = {"seed": 0, "batch_size": batch_size}
    batches = InMemoryBatches(
        IMAGES, **order, sharding=layout.shared, rows_sharding=layout.steps
    )
    if streamed:
        batches = StreamedBatches(
            IMAGES, **order, num_steps=STEPS, read_ahead=5, sharding=layout.steps
        )
    run = compile_chunk(trainer, build.make_preprocess(CONFIG), mode, layout)
    x = jnp.zeros((1, *IMAGES.shape[1:]))
    init = over_members(lambda key: trainer.init(key, x), mode)
    states = jax.jit(init, out_shardings=layout.state)(keys)
    keys, hparams = place((keys, hparams), layout.state)
    program = ""
    for start, length in ((0, STEPS - 1), (STEPS - 1, 1)):
        numbers = np.int32(start), np.int32(length), root_key(1)
        given = ChunkInput(*batches(start, length, STEPS), *numbers)
        program = program or run.lower(states, given, keys, hparams).compile().as_text()
        states, sums = run(states, given, keys, hparams)
    metrics = {name: np.asarray(v).tolist() for name, v in sums.metrics.items()}
    return metrics, program, states


def reductions(program):
    """For each sum over devices, how many numbers it sums."""
    found = []
    for line in program.splitlines():
        if start := re.search(r" all-reduce(-start)?\(", line):
            shapes = re.findall(r"f32\[([\d,]*)\]", line[: start.start()])
            sizes = [np.prod([int(n) for n in s.split(",") if n]) for s in shapes]
            found.append(int(sum(sizes)))
    return found


def others(program):
    kinds = "all-gather|all-to-all|collective-permute|reduce-scatter"
    return len(re.findall(rf" (?:{kinds})(?:-start)?\(", program))


def random_words(program):
    """Numbers in the largest array of a program's random words, on one device."""
    shapes = re.findall(r"u32\[([\d,]+)\]", program)
    return int(max(np.prod([int(n) for n in shape.split(",")]) for shape in shapes))


def drawing():
    """How often devices talk that draw the images of a batch together."""
    layout = make_layout({"data": 8}, batch_size=32)
    rows = jax.device_put(np.zeros((32, 5), np.uint8), layout.batch)
    draw = jax.jit(lambda rows: drawn(SPRITES.render, rows), out_shardings=layout.batch)
    return others(draw.lower(rows).compile().as_text())


def main():
    """Prints a JSON object."""
    told = {}
    for name, mesh, mode, streamed in (
        ("single", {"data": 1}, "exact", False),
        ("single data=8", {"data": 8}, "exact", False),
        ("single data=8 streamed", {"data": 8}, "exact", True),
        ("ensemble", {"data": 1}, "vmap", False),
        ("ensemble data=8", {"data": 8}, "vmap", False),
        ("ensemble member=8", {"member": 8}, "vmap", False),
        ("ensemble member=4,data=2", {"member": 4, "data": 2}, "vmap", False),
    ):
        metrics, program, states = train(mesh, mode, streamed)
        told[name] = {
            "metrics": metrics,
            "all-reduce": reductions(program),
            "other": others(program),
            "random": random_words(program),
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(states.params)),
            "shards": str(jax.tree.leaves(states.params)[0].sharding.spec),
        }
        if mode == "vmap":
            last = member(states, M - 1)
            leaf, whole = (jax.tree.leaves(s.params)[0] for s in (last, states))
            assert leaf.devices() == {jax.devices()[0]}
            np.testing.assert_array_equal(leaf, np.asarray(whole)[-1])
    refused = []
    for mesh, batch_size, members in (
        ({"data": 3}, 3, None),
        ({"data": 16}, 16, None),
        ({"data": 8}, 12, None),
        ({"member": 4}, 8, 6),
        ({"member": 2}, 8, None),
    ):
        try:
            make_layout(mesh, batch_size=batch_size, members=members)
        except ConfigError as error:
            refused.append(str(error))
    chosen = [
        dict(make_layout(None, batch_size=b, members=m).mesh.shape)
        for b, m in ((64, None), (100, None), (7, 6), (7, 3), (11, None))
    ]
    found = {"told": told, "refused": refused, "chosen": chosen}
    print(json.dumps(found | {"drawing": drawing()}))


if __name__ == "__main__":
    main()
