"""Numbers that no machine has the memory for: one line, before anything is made."""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from tests.runs_helpers import REPOSITORY, small_config, spec_of
from vae_jax import build, traced
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError
from vae_jax.runs import grid, memory, needs, single, sweep
from vae_jax.runs.best import abstract_saved

CONFIGS = sorted(
    path
    for path in (REPOSITORY / "configs").rglob("[a-z]*.py")
    if "get_config" in path.read_text()
)


def config_of(path):
    return runpy.run_path(str(path))["get_config"]()


NUM_CLASSES = 10


def images(shape, num=200):
    """A data set whose images take no memory."""
    labels = np.arange(num) % NUM_CLASSES
    split = Split(np.broadcast_to(np.uint8(0), (num, *shape)), labels)
    return Dataset("zeros", split, split, split)


def check(config, shape=(28, 28, 1), members=1, num=200):
    """What a training asks before and after its images are loaded; their arrays."""
    memory.check_numbers(config)
    spec = dataclasses.replace(spec_of(*shape), num_classes=NUM_CLASSES)
    parts = build.make_parts(config, spec)
    saved = abstract_saved(config, spec)
    arrays = needs.trace(config, spec, parts["model"], saved)
    memory.check_memory(config, images(shape, num), arrays, members)
    return arrays


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_config_of_ours_is_refused(path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 10**9)
    config = config_of(path)
    build.check(config)
    check(config, (32, 32, 3) if "cifar" in path.stem else (28, 28, 1), 8, 60_000)


@pytest.mark.parametrize("batch_size", [1, 4096])
def test_an_estimate_is_no_more_than_a_step_takes(batch_size):
    """Whether parameters or activations need most; against XLA's own count.

    The state counts twice there, as in a training whenever a copy is saved.
    """
    sizes = {"mlp.hidden_dims": (512,), "objective.num_samples": 2}
    config = small_config(**sizes, **{"data.batch_size": batch_size})
    shape = (16, 16, 1)
    found = sum(map(needs.num_bytes, check(config, shape).values()))
    parts = build.make_parts(config, spec_of(*shape))
    step = jax.jit(build.make_trainer(config, parts).step).lower(
        abstract_saved(config, spec_of(*shape)).state,
        jax.ShapeDtypeStruct((batch_size, *shape), jnp.float32),
        jax.random.key(0),
        traced.make_hparams_of(config),
    )
    taken = step.compile().memory_analysis()
    state = taken.argument_size_in_bytes + taken.output_size_in_bytes
    whole = state + taken.temp_size_in_bytes
    assert 0.2 * whole < found <= whole


def test_everything_that_a_checkpoint_holds_counts():
    def of_state(**fields):
        arrays = check(small_config(**fields), (8, 8, 1))
        sizes = {name: needs.num_bytes(leaf) for name, leaf in arrays.items()}
        parts = ("state/", "best/", "gradient/")
        whole = sum(n for name, n in sizes.items() if name.startswith(parts))
        own = sum(n for name, n in sizes.items() if name.startswith("gradient/"))
        return whole / own

    adam = of_state()
    assert adam == pytest.approx(4, abs=0.01)  # parameters, gradient, two moments
    for fields, more in (
        ({"optimizer.name": "sgd"}, -2),
        ({"optimizer.ema_decay": 0.9}, 1),
        ({"train.keep_best": True}, 1),
    ):
        assert of_state(**fields) - adam == pytest.approx(more, abs=0.01)


# Fields, and what the line says; on 28x28 images.
ABSURD = {
    "latent": ({"model.latent_dim": 2**30}, ["model.latent_dim=1073741824", "TB"]),
    "huge latent": ({"model.latent_dim": 10**30}, ["model.latent_dim=1000", "32 bits"]),
    "draws": (
        {"objective.num_samples": 10**9},
        ["objective.num_samples=1000000000:", "output/likelihood/logits"],
    ),
    "batch": (
        {"model.network": "conv", "data.batch_size": 10**7},
        ["data.batch_size=10000000:", "layers/decoder"],
    ),
    "samples": ({"objective.num_samples": 10**12}, ["objective.num_samples=1000000"]),
    "flows": (
        {"model.posterior": "coupling_flow", "coupling_flow.num_layers": 3000},
        ["coupling_flow.num_layers=3000: ", "at most 200"],
    ),
    "endless flows": (
        {"model.posterior": "coupling_flow", "coupling_flow.num_layers": 10**30},
        ["coupling_flow.num_layers=1000"],
    ),
    "deep": ({"mlp.hidden_dims": (8,) * 3000}, ["mlp.hidden_dims has 3000 layers"]),
    "deep gates": (
        {"model.network": "gated", "gated.hidden_dims": (8,) * 3000},
        ["gated.hidden_dims has 3000 layers"],
    ),
    "deep convolutions": (
        {"model.network": "conv", "conv.channels": (8,) * 3000},
        ["conv.channels has 3000 layers"],
    ),
    "beyond floats": (
        {"mlp.hidden_dims": (10**200, 10**200)},
        ["mlp.hidden_dims=1000", "32 bits"],
    ),
    "halved too often": (
        {"model.network": "conv", "conv.channels": (8,) * 20},
        ["choose a smaller number", "layers/decoder"],
    ),
    "wide": ({"mlp.hidden_dims": (10**9,)}, ["mlp.hidden_dims=(1000000000,)"]),
    "wide convolutions": (
        {"model.network": "conv", "conv.channels": (10**8, 10**8)},
        ["conv.channels=(100000000, 100000000)"],
    ),
    "wide dense layer": (
        {"model.network": "conv", "conv.hidden_dim": 10**9},
        ["conv.hidden_dim=1000000000"],
    ),
    "deep hierarchies": (
        {
            "model.name": "hierarchical",
            "hierarchical.latent_dims": (8,) * 30,
            "hierarchical.hidden_dims": (8,) * 30,
        },
        ["hierarchical.latent_dims and hidden_dims make 930 layers"],
    ),
    "upper": (
        {"model.name": "hierarchical", "hierarchical.latent_dims": (10**9,)},
        ["hierarchical.latent_dims=(1000000000,)"],
    ),
    "prior": (
        {"model.prior": "mixture", "mixture.num_components": 2**30},
        ["mixture.num_components=1073741824"],
    ),
    "pseudo-inputs": (
        {"model.prior": "vamp", "vamp.num_components": 2**30},
        ["vamp.num_components=1073741824"],
    ),
    "pixels": ({"data.image_size": 100_000}, ["data.image_size=100000"]),
    "more pixels": ({"data.image_size": 10**9}, ["data.image_size=1000000000"]),
    "components": (
        {
            "model.likelihood": "logistic_mixture",
            "logistic_mixture.num_components": 10**9,
        },
        ["logistic_mixture.num_components=1000000000", "PB"],
    ),
    "rows": (
        {"train.log_every": 2**40, "train.num_steps": 10**9}
        | {"train.eval_every": 0, "train.checkpoint_every": 0},
        ["train.log_every=1099511627776", "rows of the batches"],
    ),
    "steps": ({"train.num_steps": 10**30}, ["train.num_steps=1000", "32 bits"]),
    "evaluation": ({"eval.num_samples": 2**31}, ["eval.num_samples=2147483648"]),
    "more evaluation": ({"eval.num_samples": 10**30}, ["eval.num_samples=1000"]),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_numbers_are_one_line(name, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 64 * 10**9)
    fields, parts = ABSURD[name]
    config = default.get_config()
    config.update_from_flattened_dict({"data.batch_size": 128, **fields})
    with pytest.raises(ConfigError) as found:
        if "data.image_size" in fields:
            memory.check_numbers(config)  # before they are made so large
        else:
            check(config)
    assert all(part in str(found.value) for part in parts), found.value
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"model.latent_dim": 2**30},
        {"mlp.hidden_dims": (8,) * 3000},
        {"eval.num_samples": 2**31},
    ],
)
def test_a_run_asks_before_it_makes_anything(fields, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        single.train(small_config(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_grid_asks_for_all_its_programs_before_the_first_trains(tmp_path):
    with pytest.raises(ConfigError, match="model.latent_dim=1073741824: training"):
        sweeps = [f"model.latent_dim=2,{2**30}"]
        grid.train_grid(small_config(), tmp_path / "grid", sweeps, 1)
    assert not (tmp_path / "grid").exists()


def test_members_of_a_grid_count():
    config = default.get_config()
    with pytest.raises(ConfigError, match=r"1000000 members .*--members_per_program"):
        check(config, members=10**6)
    for sweeps, seeds in (
        (["hparams.kl_weight=" + ",".join(map(str, range(11_000)))], 1),
        ([], 10**9),
    ):
        with pytest.raises(ConfigError, match="members: at most 10000"):
            sweep.members(config, sweeps, seeds)


def test_draws_and_chains_of_a_trained_run():
    spec = DataSpec((28, 28, 1), "8bit", 1)
    memory.check_samples(16, spec, "--num=10000", 10_000)
    with pytest.raises(
        ConfigError, match="--num=1000000000: decoding needs about 6.34 T"
    ):
        memory.check_samples(16, spec, f"--num={10**9}", 10**9)
    memory.check_annealing(spec, 10_000, 100)
    for steps, chains, name in ((10**12, 1, "temperatures"), (1, 10**12, "chains")):
        with pytest.raises(ConfigError, match=f"--num_{name}=1000000000000: anneal"):
            memory.check_annealing(spec, steps, chains)
    memory.check_count("--num_samples", 5000)
    message = "--num_samples=1000000000000: must be at most"
    with pytest.raises(ConfigError, match=message):
        memory.check_count("--num_samples", 10**12)


def test_what_the_machine_has(tmp_path, monkeypatch):
    whole = memory.available_memory()
    assert whole > 10**8
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    limit.write_text("max\n")
    assert memory.available_memory() >= whole
    limit.write_text("1000000\n")
    assert memory.available_memory() == 10**6
    with pytest.raises(ConfigError, match="training needs about .* there are 1 MB"):
        check(default.get_config())

    class Device:
        def memory_stats(self):
            return {"bytes_limit": 5 * 10**9}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert memory.available_memory() == 5 * 10**9 * jax.device_count()


OUT_OF_MEMORY = (
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes.",
    "INTERNAL: Error dispatching computation: Out of memory allocating 35920 bytes.",
    "RESOURCE_EXHAUSTED: Failed to allocate request for 12.00GiB (12884901888B) on dev",
)


def test_out_of_memory_is_one_line():
    for text in OUT_OF_MEMORY:
        line = memory.out_of_memory_line(jax.errors.JaxRuntimeError(text))
        assert line is not None and line.startswith("out of memory")
        assert "data.batch_size" in line and "\n" not in line
    line = memory.out_of_memory_line(jax.errors.JaxRuntimeError(OUT_OF_MEMORY[0]))
    assert "12.9 GB more were asked for" in line
    assert memory.out_of_memory_line(MemoryError()) is not None
    assert memory.out_of_memory_line(jax.errors.JaxRuntimeError("INTERNAL: no")) is None
    assert memory.out_of_memory_line(ValueError("out of memory")) is None


def test_out_of_memory_of_this_very_machine_is_known():
    with pytest.raises(jax.errors.JaxRuntimeError) as found:
        jax.jit(lambda: jnp.ones((2**40, 2**10)))().block_until_ready()
    assert memory.out_of_memory_line(found.value) is not None
