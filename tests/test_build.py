"""From a config to objects: every name builds, and parts that clash are refused."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import default
from tests.battery import FAST_COMPILE
from tests.runs_helpers import REPOSITORY
from vae_jax import build
from vae_jax.errors import ConfigError

SHAPE = (8, 8, 1)


def test_image_size_takes_a_number_or_a_pair():
    """From a config file, from JSON and from a flag, which ml_collections parses."""
    config = default.get_config()
    for value in (28, 0, (40, 80), [40, 80]):
        config.data.image_size = value
        build.check(config)
        build.check(ConfigDict(json.loads(json.dumps(config.to_dict()))))
    for value in (-1, (40, 0), (1, 2, 3), 2.5, True, "40x80", (40, "80")):
        config.data.image_size = value
        with pytest.raises(ConfigError, match="data.image_size=.*: must be a whole"):
            build.check(config)
    path = REPOSITORY / "configs" / "default.py"
    for text, expected in {"28": 28, "40,80": (40, 80), "(40, 80)": (40, 80)}.items():
        values = flags.FlagValues()
        argv = ["train", f"--config={path}", f"--config.data.image_size={text}"]
        holder = config_flags.DEFINE_config_file(
            "config", flag_values=values, sys_argv=argv
        )
        values(argv)
        assert holder.value.data.image_size == expected


def config_with(fields: dict[str, Any]) -> ConfigDict:
    config = default.get_config()
    config.model.hidden_dims = (16,)
    config.model.prior_components = 5
    config.update_from_flattened_dict(fields)
    return config


def two_steps(config: ConfigDict) -> tuple[Any, dict[str, Any], Any]:
    """The parameters before, the metrics and the parameters after two steps."""
    build.check(config)
    trainer = build.make_trainer(config, SHAPE)
    x = jax.random.bernoulli(jax.random.key(0), 0.3, (6, *SHAPE)).astype(jnp.float32)
    first = state = trainer.init(jax.random.key(1), x)
    step = jax.jit(trainer.step)
    for _ in range(2):
        hparams = build.make_hparams_of(config)
        state, metrics = step(state, x, jax.random.key(2), hparams)
    return first.params, metrics, state.params


PARTS = [
    *(
        {
            "objective.name": name,
            "objective.num_samples": 4,
            "objective.num_groups": 2,
        }
        for name in build.OBJECTIVES
    ),
    {"model.prior": "mixture"},
    {"model.prior": "vamp", "model.network": "gated", "optimizer.normalize": True},
    {"model.posterior": "coupling_flow"},
    {"model.posterior": "deterministic"},
    {
        "model.upper_latent_dims": (5, 3),
        "objective.name": "iwae",
        "optimizer.schedule": "stages",
        "optimizer.second_moment": 0.0025,
    },
]


@pytest.mark.parametrize("fields", PARTS, ids=lambda f: "+".join(map(str, f.values())))
def test_every_part_trains_every_parameter(fields):
    before, metrics, after = two_steps(config_with(fields))
    assert np.isfinite(metrics["loss"])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), before, after)
    still = {jax.tree_util.keystr(k) for k, v in jax.tree.leaves_with_path(same) if v}
    assert still == set()


CLASHES = [
    {"objective.name": "iwae", "model.posterior": "deterministic"},
    {"model.prior": "vamp", "objective.name": "dreg"},
    {"model.prior": "vamp", "model.posterior": "deterministic"},
    {"model.prior": "vamp", "model.upper_latent_dims": (5,)},
    {"model.posterior": "deterministic", "model.upper_latent_dims": (5,)},
    {"objective.name": "dreg", "model.upper_latent_dims": (5,)},
    {"objective.num_groups": 3, "objective.num_samples": 4},
    {"optimizer.weight_decay": 0.1, "optimizer.name": "adam"},
    {"objective.warmup_steps": 10, "objective.schedule": "constant"},
    {"objective.free_nats": 0.5, "objective.name": "iwae"},
    {"objective.capacity": 3.0, "objective.name": "elbo"},
    {"data.dequantize": True, "data.binarize": "dynamic"},
]


@pytest.mark.parametrize("fields", CLASHES, ids=lambda f: "+".join(f))
def test_parts_that_clash_are_refused_by_name(fields):
    with pytest.raises(ConfigError) as error:
        build.check(config_with(fields))
    assert all(field in str(error.value) for field in fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("network", ["mlp", "gated", "conv"])
def test_bfloat16_is_for_the_networks_only(network):
    """Parameters, codes and the loss stay float32, and numbers agree to two digits."""
    x = jnp.round(jax.random.uniform(jax.random.key(0), (16, 8, 8, 1)))
    key, losses = jax.random.key(1), []
    for dtype in ("float32", "bfloat16"):
        config = default.get_config()
        config.model.network, config.model.dtype = network, dtype
        trainer = build.make_trainer(config, x.shape[1:])
        hparams = build.make_hparams_of(config)
        state = jax.jit(trainer.init)(key, x)
        program = jax.jit(trainer.step).lower(state, x, key, hparams)
        assert ("bf16" in program.as_text()) == (dtype == "bfloat16")
        step = program.compile(compiler_options=FAST_COMPILE)
        state, metrics = step(state, x, key, hparams)
        leaves = [state.params, state.opt_state, metrics]
        kinds = {leaf.dtype for leaf in jax.tree.leaves(leaves)}
        assert kinds <= {jnp.dtype("float32"), jnp.dtype("int32")}
        losses.append(float(metrics["loss"]))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
