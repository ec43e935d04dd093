"""From a config to objects: every name builds, and parts that clash are refused."""

import dataclasses
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
from tests.runs_helpers import REPOSITORY, spec_of
from vae_jax import build, likelihoods, networks, objectives, parts, traced
from vae_jax.data.examples import inputs
from vae_jax.errors import ConfigError
from vae_jax.fields import RANGES
from vae_jax.flat import flatten
from vae_jax.objectives import schedules
from vae_jax.objectives.base import objective
from vae_jax.training import optimizers

SPEC = dataclasses.replace(spec_of(8, 8, 1), num_classes=3)


def test_names_of_parts_are_unique_over_all_kinds():
    """Each may have a section of its name, and none is a section of another meaning."""
    names = [name for table in parts.TABLES.values() for name in table]
    fixed = ["seed", "hparams", "data", "model", "objective", "optimizer", "train"]
    assert len({*names, *fixed, "eval"}) == len([*names, *fixed, "eval"])


def test_each_section_holds_the_arguments_of_the_part_it_is_named_after():
    """All that have a default and that nothing else gives."""
    config = default.get_config()
    shared = {"activation", "dtype", "name", "parent", *config.optimizer}
    sections = {name for name in config if isinstance(config[name], ConfigDict)}
    left = sections - {field.partition(".")[0] for field in RANGES}
    for table in parts.TABLES.values():
        for name, constructor in table.items():
            section = set(config[name]) if name in config else set()
            left -= {name}
            is_pair = isinstance(constructor, networks.Network)
            for half in constructor if is_pair else [constructor]:
                arguments = parts.arguments_of(half)
                own = {a for a, p in arguments.items() if p.default is not p.empty}
                assert own - shared <= section <= arguments.keys(), name
    assert left == set()


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
    config.update_from_flattened_dict(
        {
            "mlp.hidden_dims": (16,),
            "gated.hidden_dims": (16,),
            "conv.channels": (4, 8),
            "conv.hidden_dim": 16,
            "residual.channels": (4,),
            "residual.num_blocks": (1,),
            "residual.hidden_dim": 16,
            "mixture.num_components": 5,
            "vamp.num_components": 5,
            "top_down.blocks": "1x1,4x1",
            "top_down.width": 8,
            "factor.hidden_dim": 5,
            "factor.num_hidden": 1,
            **fields,
        }
    )
    return config


def two_steps(config: ConfigDict) -> tuple[Any, dict[str, Any], Any]:
    """The parameters before, the metrics and the parameters after two steps."""
    build.check(config)
    parts = build.make_parts(config, SPEC)
    trainer = build.make_trainer(config, parts)
    shape = (6, *SPEC.image_shape)
    pixels = np.float32(np.random.default_rng(0).random(shape) < 0.3)
    x = pixels
    if "label" in inputs(parts["model"]):
        x = {"image": pixels, "label": np.arange(6, dtype=np.int32) % SPEC.num_classes}
    init = jax.jit(trainer.init, compiler_options=FAST_COMPILE)
    step = jax.jit(trainer.step, compiler_options=FAST_COMPILE)
    hparams, key = traced.make_hparams_of(config), jax.random.key(2)
    first = state = init(jax.random.key(1), x)
    for _ in range(2):
        state, metrics = step(state, x, key, hparams)
    return jax.tree.map(np.asarray, (first.params, metrics, state.params))


# What a part needs beside its name to train, and a few that are taken along.
BESIDE = {
    "gated": {"optimizer.normalize": True},
    "miwae": {"miwae.num_groups": 2},
    "piwae": {"piwae.num_groups": 2},
    "hierarchical": {
        "hierarchical.latent_dims": (5, 3),
        "objective.name": "iwae",
        "optimizer.schedule": "stages",
        "optimizer.second_moment": 0.0025,
    },
    "adamw": {"optimizer.schedule": "cosine"},
    "regularized": {
        "model.name": "rae",
        "hparams.kl_weight": 0.0,
        "hparams.code_weight": 0.1,
        "hparams.gradient_weight": 0.1,
    },
    "fsq": {"model.prior": "uniform"},
    "vq": {"model.prior": "uniform", "vq.num_codes": 4},
    "lfq": {"model.prior": "uniform"},
    "uniform": {"model.posterior": "fsq"},
    "label_normal": {"model.condition": "label"},
    "m2": {
        "objective.name": "semi_supervised",
        "hparams.classification_weight": 10.0,
        "data.labelled_batch_size": 4,
    },
    "semi_supervised": {
        "model.name": "m2",
        "hparams.classification_weight": 10.0,
    },
    "quantized": {
        "model.posterior": "lfq",
        "model.prior": "uniform",
        "hparams.entropy_weight": 0.1,
    },
}
# Likelihoods and networks train in the battery; vamp has the encoder twice.
NAMED = [
    (field, name)
    for field in ("model.name", "model.posterior", "model.prior", "objective.name")
    for name in parts.TABLES[field]
    if name != flatten(default.get_config().to_dict())[field]
] + [
    ("model.name", "vae"),
    ("model.network", "gated"),
    ("optimizer.name", "adamw"),
    ("optimizer.name", "sgd"),
]


@pytest.mark.parametrize(("field", "name"), NAMED)
def test_every_part_trains_every_parameter(field, name):
    samples = 4 if field == "objective.name" else 1
    own = {"objective.num_samples": samples, field: name, **BESIDE.get(name, {})}
    before, metrics, after = two_steps(config_with(own))
    assert np.isfinite(metrics["loss"])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), before, after)
    still = {jax.tree_util.keystr(k) for k, v in jax.tree.leaves_with_path(same) if v}
    assert still == set()


CLASHES = [
    {"objective.name": "iwae", "model.posterior": "deterministic"},
    {"model.prior": "vamp", "objective.name": "dreg"},
    {"model.prior": "vamp", "model.posterior": "deterministic"},
    {"model.prior": "vamp", "model.name": "hierarchical"},
    {"model.posterior": "deterministic", "model.name": "hierarchical"},
    {"model.posterior": "fsq"},
    {"model.prior": "uniform"},
    {"model.posterior": "fsq", "model.prior": "vamp"},
    {"model.network": "residual", "residual.spatial": True},
    {"model.condition": "label", "model.name": "ladder"},
    {"model.condition": "label", "model.prior": "vamp"},
    {"model.prior": "label_normal"},
    {"model.name": "m2", "objective.name": "elbo"},
    {"model.name": "m2", "model.posterior": "deterministic"},
    {"objective.name": "semi_supervised", "model.name": "vae"},
    {"data.num_labelled": 100, "model.name": "vae"},
    {"data.labelled_batch_size": 10, "model.name": "vae"},
    {"data.labelled_batch_size": 128, "data.batch_size": 128},
    {"objective.name": "quantized"},
    {"hparams.commitment_weight": 0.25},
    {"objective.name": "dreg", "model.name": "hierarchical"},
    {"objective.name": "regularized", "model.name": "vae"},
    {"model.name": "top_down", "model.prior": "mixture"},
    {"model.name": "top_down", "model.posterior": "deterministic"},
    {"model.name": "top_down", "model.network": "conv"},
    {"model.name": "top_down", "objective.name": "dreg"},
    {"eval.measures": ("regularty",)},
    {"hparams.warmup_steps": 10, "objective.schedule": "constant"},
    {"hparams.free_nats": 0.5, "objective.name": "iwae"},
    {"hparams.free_nats": 0.5, "hparams.free_nats_per_layer": 2.0},
    {"hparams.capacity": 3.0, "objective.name": "elbo"},
    {"hparams.tc_weight": 5.0, "objective.name": "dip_i"},
    {"objective.name": "beta_tc", "model.posterior": "deterministic"},
    {"objective.name": "dip_ii", "model.posterior": "coupling_flow"},
    {"objective.name": "factor", "model.name": "ladder"},
    {"objective.name": "factor", "data.batch_size": 3},
    {"data.dequantize": True, "data.binarize": "dynamic"},
    {"train.patience": 3, "model.posterior": "deterministic"},
]


@pytest.mark.parametrize("fields", CLASHES, ids=lambda f: "+".join(f))
def test_parts_that_clash_are_refused_by_name(fields):
    with pytest.raises(ConfigError) as error:
        build.check(config_with(fields))
    assert all(field in str(error.value) for field in fields)
    assert "\n" not in str(error.value)


def test_groups_are_of_one_size():
    fields = {"miwae.num_groups": 3, "objective.num_samples": 4}
    build.check(config_with(fields))
    with pytest.raises(ConfigError, match=r"groups=3: must divide .*samples=4"):
        build.check(config_with({"objective.name": "miwae", **fields}))


WRONG = {
    "model.name": ("hierarchy", "Did you mean 'hierarchical'?"),
    "model.network": ("cnv", "Did you mean 'conv'?"),
    "model.posterior": ("diagonal", "Did you mean 'diagonal_normal'?"),
    "model.prior": ("vampp", "Did you mean 'vamp'?"),
    "model.likelihood": ("norml", "Did you mean 'normal'?"),
    "model.activation": ("rel", "Did you mean 'relu'?"),
    "model.condition": ("labl", "Did you mean 'label'?"),
    "model.dtype": ("float16", "Did you mean 'bfloat16'?"),
    "objective.name": ("iwea", "Did you mean 'iwae'?"),
    "objective.schedule": ("liner", "Did you mean 'linear'?"),
    "optimizer.name": ("sdg", "Did you mean 'sgd'?"),
    "optimizer.schedule": ("cosin", "Did you mean 'cosine'?"),
    "data.binarize": ("dynamical", "Did you mean 'dynamic'?"),
    "normal.scale": ("fixd", "Did you mean 'fixed'?"),
    "laplace.scale": ("optimal", "must be one of fixed, learned, per_pixel."),
    "mlp.hidden_dims": ((16, 0), "must be whole numbers above 0"),
    "conv.channels": ((), "must be 1 or more whole numbers above 0"),
    "hierarchical.latent_dims": ((), "must be 1 or more whole numbers above 0"),
    "coupling_flow.num_layers": (300, "must be a whole number above 0, at most 200"),
}


def test_wrong_names_and_sizes_are_answered_with_what_is_valid():
    """Also of parts that are not chosen."""
    for field, (value, valid) in WRONG.items():
        with pytest.raises(ConfigError) as error:
            build.check(config_with({field: value}))
        assert str(error.value).startswith(f"{field}={value!r}: must be")
        assert valid in str(error.value), field


def test_a_section_is_optional_but_may_hold_arguments_only():
    config = default.get_config().unlock()
    shapes = [leaf_shapes(config)]
    del config["mixture"]
    shapes.append(leaf_shapes(config))
    config.mixture = {"num_components": 500}
    shapes.append(leaf_shapes(config))
    assert shapes[0] == shapes[1] == shapes[2]
    config.mixture = {"num_component": 5}
    with pytest.raises(
        ConfigError, match=r"mixture.num_component: .* mean 'num_components'\?"
    ):
        build.check(config)


def leaf_shapes(config: ConfigDict) -> Any:
    config.model.prior = "mixture"
    trainer = build.make_trainer(config, build.make_parts(config, SPEC))
    x = jnp.zeros((1, *SPEC.image_shape))
    return jax.tree.map(jnp.shape, jax.eval_shape(trainer.init, jax.random.key(0), x))


class ScaledLikelihood(likelihoods.BernoulliLikelihood):
    """A user's own, with an argument that it must be given, and one of the data."""

    strength: float
    num_train: int


def test_a_line_in_a_table_is_all_that_a_part_of_ones_own_needs(monkeypatch):
    monkeypatch.setitem(likelihoods.BY_NAME, "scaled", ScaledLikelihood)
    config = default.get_config().unlock()
    config.model.likelihood = "scaled"
    with pytest.raises(ConfigError, match="likelihood=scaled needs scaled.strength"):
        build.check(config)
    config.scaled = {"strength": 2.0}
    build.check(config)
    made = build.make_parts(config, SPEC)["likelihood"]
    assert (made.strength, made.num_train) == (2.0, SPEC.num_train)


def test_an_objective_gets_the_numbers_it_declares_or_that_no_other_one_claims(
    monkeypatch,
):
    def names(name: str, **numbers: float) -> set[str]:
        config = default.get_config().unlock()
        config.objective.name = name
        config.hparams.update(numbers)
        return set(traced.make_hparams_of(config))

    common = {"kl_weight", "learning_rate", "warmup_steps"}
    assert names("elbo") == names("iwae") == common
    assert names("elbo", free_nats=0.5) == common | {"free_nats"}
    assert names("capacity") == common | {"capacity"}
    loss = objectives.elbo.elbo_loss
    declared = objective(loss, hparams=("kl_weight", "push_weight"))
    monkeypatch.setitem(objectives.BY_NAME, "push", lambda: declared)
    monkeypatch.setitem(objectives.BY_NAME, "own", lambda: loss)
    assert names("push", push_weight=6.0) == common | {"push_weight"}
    assert names("own", other=0.0) == common | {"other"}
    assert names("elbo", push_weight=0.0) == common
    with pytest.raises(
        ConfigError, match="push_weight=6.0 has no effect .*choose push"
    ):
        names("elbo", push_weight=6.0)
    with pytest.raises(ConfigError, match="other=1.0 has no effect .* leave it at 0"):
        names("elbo", other=1.0)


@pytest.mark.parametrize(
    ("name", "of"), [("free_nats", "elbo"), ("entropy_weight", "quantized")]
)
def test_what_costs_something_at_0_too_is_given_to_all_if_one_has_it(name, of):
    config = default.get_config()
    config.objective.name = of
    other = default.get_config()
    other.objective.name = of
    other.hparams[name] = 0.5
    assert name not in traced.make_member_hparams([config, config])
    found = traced.make_member_hparams([config, other])[name]
    np.testing.assert_array_equal(found, [0.0, 0.5])


def test_keys_of_several_runs_are_those_of_each():
    configs = [default.get_config() for _ in range(3)]
    for config, seed in zip(configs, (0, 7, 2**32 - 1), strict=True):
        config.seed = seed
    found = jax.random.key_data(build.run_keys(configs))
    own = [jax.random.key_data(build.run_key(config)) for config in configs]
    np.testing.assert_array_equal(found, own)


def test_schedules_have_no_sections():
    """Their names repeat over the two tables."""
    assert not {*schedules.BY_NAME, *optimizers.SCHEDULES} & set(default.get_config())


@pytest.mark.parametrize("network", networks.BY_NAME)
def test_bfloat16_is_for_the_networks_only(network):
    """Parameters, codes and the loss stay float32, and numbers agree to two digits."""
    x = np.float32(np.random.default_rng(0).integers(0, 2, (16, 8, 8, 1)))
    key, losses = jax.random.key(1), []
    for dtype in ("float32", "bfloat16"):
        config = config_with({"model.network": network, "model.dtype": dtype})
        trainer = build.make_trainer(config, build.make_parts(config, SPEC))
        hparams = traced.make_hparams_of(config)
        state = jax.jit(trainer.init, compiler_options=FAST_COMPILE)(key, x)
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
