"""From sweep flags to members and programs."""

import pytest

from tests.runs_helpers import small_config
from vae_jax import build, traced
from vae_jax.errors import ConfigError
from vae_jax.flat import flatten
from vae_jax.runs.sweep import (
    members,
    parse_case,
    parse_sweep,
    programs,
    swept_fields,
)

KL = "hparams.kl_weight"


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        (f"{KL}=0,0.5,1", KL, [0.0, 0.5, 1.0]),
        (f"{KL}= 1e-3, 2 ", KL, [0.001, 2.0]),
        (f"{KL}=4", KL, [4.0]),
        ("model.latent_dim=2,16", "model.latent_dim", [2, 16]),
        ("data.dequantize=true,False", "data.dequantize", [True, False]),
        ("model.network=mlp,conv", "model.network", ["mlp", "conv"]),
        ("data.name=npz:a=b.npz", "data.name", ["npz:a=b.npz"]),
    ],
)
def test_values_have_the_type_of_their_field(text, field, values):
    found_field, found = parse_sweep(small_config(), text)
    assert (found_field, found) == (field, values)
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "hparams.kl_wieght=1",
            f"no field 'hparams.kl_wieght'. Did you mean '{KL}'",
        ),
        ("objective=1", "no field 'objective'"),
        ("=1", "no field ''"),
        (KL, "expected hparams.kl_weight=VALUE"),
        (f"{KL}=", "expected hparams.kl_weight=VALUE"),
        (f"{KL}=1,", "expected hparams.kl_weight=VALUE"),
        (f"{KL}=1,one", "'one' must be a number"),
        ("model.latent_dim=2,2.5", "'2.5' must be a whole number"),
        ("data.dequantize=1", "'1' must be true or false"),
        ("mlp.hidden_dims=1", "is a list, which can't be swept"),
        (f"{KL}=1,2,1.0", "1.0 is given twice"),
        ("data.dequantize=true,True", "True is given twice"),
    ],
)
def test_texts_that_make_no_sense(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_sweep(small_config(), text)
    assert f"--sweep={text}" in str(error.value)


def test_no_sweep_is_one_run_per_seed():
    found = members(small_config(seed=5), [], 3)
    assert [entry.name for entry in found] == ["seed=5", "seed=6", "seed=7"]
    assert [entry.config.seed for entry in found] == [5, 6, 7]


def test_a_grid_in_the_order_of_the_flags():
    config = small_config()
    found = members(config, ["model.latent_dim=2,3", f"{KL}=0.5,4"], 2)
    assert [entry.name for entry in found] == [
        f"latent_dim={dim},kl_weight={weight},seed={seed}"
        for dim in (2, 3)
        for weight in ("0.5", "4")
        for seed in (0, 1)
    ]
    for entry in found:
        # A member's config is the base with its values in it, and nothing else.
        changed = {
            name: value
            for name, value in flatten(entry.config.to_dict()).items()
            if flatten(config.to_dict())[name] != value
        }
        assert changed.items() <= entry.values.items()
        flat = flatten(entry.config.to_dict())
        assert all(flat[name] == value for name, value in entry.values.items())
    assert flatten(config.to_dict()) == flatten(small_config().to_dict())


def test_what_members_share_is_checked_once_for_each_program(monkeypatch):
    """Else a grid of 10,000 members takes half a minute before it begins."""
    checked, check = [], build.check
    monkeypatch.setattr(build, "check", lambda c, *o: (checked.append(c), check(c, *o)))
    sweeps = ["model.latent_dim=2,3", f"{KL}=1,2,3"]
    grid = members(small_config(), sweeps, 4)
    assert checked == [part[0].config for part in programs(grid, len(grid))]
    # A member holds no copy of what can't differ within its program.
    first, last = grid[0].config, grid[11].config
    assert first.data is last.data and first.hparams is not last.hparams


def test_flat_members_are_their_flat_configs():
    grid = members(small_config(), [f"{KL}=1,2"], 2)
    configs = [entry.config for entry in grid]
    flat = [flatten(config.to_dict()) for config in configs]
    assert list(traced.flatten_members(configs)) == flat


def test_swept_seeds():
    found = members(small_config(), ["seed=3,1"], 1)
    assert [entry.config.seed for entry in found] == [3, 1]
    with pytest.raises(ConfigError, match="exclude each other"):
        members(small_config(), ["seed=3,1"], 2)


@pytest.mark.parametrize(
    ("sweeps", "names"),
    [
        ([f"{KL}=1.0,0.25,1e-7"], ["kl_weight=1", "kl_weight=0.25", "kl_weight=1e-07"]),
        # Close values must not share a folder.
        ([f"{KL}=1,1.00000001"], ["kl_weight=1", "kl_weight=1.00000001"]),
        # The whole field where its last part alone would not tell two fields apart.
        (
            ["objective.schedule=linear", "optimizer.schedule=cosine"],
            ["objective.schedule=linear,optimizer.schedule=cosine"],
        ),
        # A name is one folder on every system.
        (["data.name=npz:a/b.npz"], ["name=npz_a_b.npz"]),
    ],
)
def test_names(sweeps, names):
    found = [entry.name for entry in members(small_config(), sweeps, 1)]
    assert found == [f"{name},seed=0" for name in names]


@pytest.mark.parametrize(
    ("sweeps", "seeds", "message"),
    [
        ([f"{KL}=1"], 0, "--seeds=0: must be at least 1"),
        ([f"{KL}=1"], -1, "--seeds=-1: must be at least 1"),
        (
            ["data.name=npz:a/b.npz,npz:a_b.npz"],
            1,
            "2 members .* name=npz_a_b.npz,seed=0",
        ),
        ([f"{KL}=1", f"{KL}=2"], 1, "swept twice"),
        ([f"{KL}=1,-2"], 1, "hparams.kl_weight=-2.0: must be"),
        ([f"{KL}=1,nan"], 1, "hparams.kl_weight=nan: must be"),
        (["model.network=mlp,cnv"], 1, "model.network='cnv': must be one of"),
        # Of a member that is not the first of its program.
        (["seed=0,-1"], 1, "seed=-1: must be a whole number"),
        (["hparams.warmup_steps=0,5"], 1, "warmup_steps=5 has no effect with"),
        (["hparams.tc_weight=0,5"], 1, "tc_weight=5.0 has no effect with"),
        (
            ["hparams.free_nats=0,1", "hparams.free_nats_per_layer=0,1"],
            1,
            "free_nats=1.0 and hparams.free_nats_per_layer=1.0: set one",
        ),
    ],
)
def test_grids_that_make_no_sense(sweeps, seeds, message):
    with pytest.raises(ConfigError, match=message):
        members(small_config(), sweeps, seeds)


CASES = [
    "objective.name=elbo hparams.kl_weight=4",
    "objective.name=beta_tc  hparams.tc_weight=5",
    "objective.name=beta_tc hparams.tc_weight=50",
]


def test_a_case_sets_fields_of_their_own_type():
    assert parse_case(small_config(), CASES[0]) == {"objective.name": "elbo", KL: 4.0}
    assert parse_case(small_config(), " data.dequantize=True ") == {
        "data.dequantize": True
    }


def test_cases_are_combined_with_sweeps_and_seeds():
    grid = members(small_config(), ["model.latent_dim=2,3"], 2, CASES)
    assert [entry.name for entry in grid] == [
        f"name={case},latent_dim={dim},seed={seed}"
        for case in (
            "elbo,kl_weight=4",
            "beta_tc,tc_weight=5",
            "beta_tc,tc_weight=50",
        )
        for dim in (2, 3)
        for seed in (0, 1)
    ]
    fields = ["objective.name", KL, "hparams.tc_weight", "model.latent_dim"]
    assert swept_fields(small_config(), ["model.latent_dim=2,3"], CASES) == fields
    # What a case leaves out has the config's value: rows have all fields.
    values = ["beta_tc", 1.0, 50.0, 3, 1]
    assert dict(grid[-1].values) == dict(zip([*fields, "seed"], values, strict=True))
    for entry in grid:
        flat = flatten(entry.config.to_dict())
        assert all(flat[field] == value for field, value in entry.values.items())
    # Weights and seeds of an objective are one program.
    assert [len(part) for part in programs(grid, 100)] == [2, 2, 4, 4]


@pytest.mark.parametrize(
    ("cases", "sweeps", "message"),
    [
        (["objective.nam=elbo"], [], "no field 'objective.nam'. Did you mean"),
        (["hparams.kl_weight"], [], "expected FIELD=VALUE, found 'hparams.kl_weight'"),
        (["hparams.kl_weight="], [], "expected FIELD=VALUE, found"),
        ([" "], [], "expected FIELD=VALUE FIELD=VALUE"),
        ([f"{KL}=one"], [], "'one' must be a number"),
        ([f"{KL}=1 {KL}=2"], [], f"{KL} is given twice"),
        (["mlp.hidden_dims=1"], [], "is a list, which can't be swept"),
        ([f"{KL}=2"], [f"{KL}=1,2"], f"--case and --sweep both set {KL}"),
        ([f"{KL}=2", f"{KL}=2.0"], [], f"is the same as --case={KL}=2"),
        # The same, because the other field is so by default.
        (["objective.name=elbo", f"{KL}=1"], [], "is the same as --case=objective"),
        (["hparams.tc_weight=5"], [], "has no effect with objective.name=elbo"),
    ],
)
def test_cases_that_make_no_sense(cases, sweeps, message):
    with pytest.raises(ConfigError, match=message):
        members(small_config(), sweeps, 1, cases)


def test_a_case_may_set_the_seed():
    found = members(small_config(), [], 1, ["seed=3", f"seed=4 {KL}=2"])
    assert [entry.name for entry in found] == ["seed=3", "seed=4,kl_weight=2"]
    with pytest.raises(ConfigError, match="exclude each other"):
        members(small_config(), [], 2, ["seed=3"])


# A valid value that is not the default, for each traced field.
TRACED = {
    "hparams.kl_weight": "2",
    "hparams.warmup_steps": "10",
    "hparams.free_nats": "0.5",
    "hparams.free_nats_per_layer": "2",
    "hparams.capacity": "3",
    "hparams.tc_weight": "5",
    "hparams.covariance_weight": "10",
    "hparams.mmd_weight": "100",
    "hparams.code_weight": "0.5",
    "hparams.gradient_weight": "0.5",
    "hparams.commitment_weight": "0.5",
    "hparams.entropy_weight": "0.5",
    "hparams.classification_weight": "50",
    "hparams.learning_rate": "0.01",
}
REGULARIZED = {
    "objective.name": "regularized",
    "model.name": "rae",
    "hparams.kl_weight": 0.0,
}
QUANTIZED = {
    "objective.name": "quantized",
    "model.posterior": "fsq",
    "model.prior": "uniform",
}
# What a field needs beside it, to be read.
BESIDE = {
    "hparams.capacity": {"objective.name": "capacity"},
    "hparams.tc_weight": {"objective.name": "beta_tc"},
    "hparams.covariance_weight": {"objective.name": "dip_ii"},
    "hparams.mmd_weight": {"objective.name": "mmd"},
    "hparams.code_weight": REGULARIZED,
    "hparams.gradient_weight": REGULARIZED,
    "hparams.commitment_weight": QUANTIZED,
    "hparams.entropy_weight": QUANTIZED,
    "hparams.classification_weight": {
        "objective.name": "semi_supervised",
        "model.name": "m2",
    },
}


def test_traced_fields_and_the_seed_share_a_program():
    usual = small_config()
    assert TRACED.keys() == {f"hparams.{name}" for name in usual.hparams}
    for field, value in TRACED.items():
        beside = BESIDE.get(field, {})
        config = small_config(**{"objective.schedule": "linear", **beside})
        default = flatten(config.to_dict())[field]
        grid = members(config, [f"{field}={default},{value}"], 2)
        assert programs(grid, 10) == [grid]


@pytest.mark.parametrize(
    "text",
    [
        "model.latent_dim=2,3",
        "model.network=mlp,conv",
        "objective.schedule=linear,sigmoid",
        "data.seed=0,1",
        "data.batch_size=8,16",
        "train.num_steps=20,40",
    ],
)
def test_any_other_field_splits_programs(text):
    grid = members(small_config(), [text, f"{KL}=1,2"], 1)
    assert programs(grid, 10) == [grid[:2], grid[2:]]


def test_other_fields_group_whatever_the_order_of_the_flags():
    grid = members(small_config(), [f"{KL}=1,2", "model.latent_dim=2,3"], 1)
    assert programs(grid, 10) == [grid[0::2], grid[1::2]]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5])])
def test_programs_are_cut_to_size(size, sizes):
    grid = members(small_config(), [], 5)
    parts = programs(grid, size)
    assert [len(part) for part in parts] == sizes
    assert [entry for part in parts for entry in part] == grid
