"""Exported files compute what the checkpoint does, without this library and Flax."""

import importlib.util
import json
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from tests.forked_programs import run_program
from tests.runs_helpers import REPOSITORY, flags, small_config, spec_of
from tests.test_bad_input import on_disk
from vae_jax import distributions, likelihoods, priors
from vae_jax.data.spec import DataSpec
from vae_jax.errors import ConfigError
from vae_jax.export import bundle, description, formats
from vae_jax.runs import opened, single
from vae_jax.runs.best import abstract_saved

pytest.importorskip("flatbuffers", reason="needs the extra export")
WITH_ONNX = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("jax2onnx", "onnxruntime")),
    reason="needs the extra onnx",
)
SPEC = DataSpec((8, 8, 1), "8bit", 9)
STEPS = {"train.num_steps": 5, "train.eval_every": 0}
FORMATS = ["stablehlo", pytest.param("onnx", marks=WITH_ONNX)]

MODELS = {
    "mlp": {},
    "conv": {"model.network": "conv"},
    "gated": {"model.network": "gated", "model.prior": "vamp"},
    "autoencoder": {"model.posterior": "deterministic"},
    "mixture": {"model.prior": "mixture", "mixture.num_components": 5},
    "fsq": {
        "model.posterior": "fsq",
        "model.prior": "uniform",
        "fsq.levels": (3, 4),
        "fsq.num_sites": 5,
    },
    "vq": {
        "model.posterior": "vq",
        "model.prior": "uniform",
        "objective.name": "quantized",
        "vq.num_codes": 6,
        "vq.code_dim": 2,
        "vq.num_sites": 5,
    },
    **{
        likelihood: {"model.likelihood": likelihood, "data.binarize": "none"}
        for likelihood in (
            "continuous_bernoulli",
            "normal",
            "laplace",
            "logistic",
            "logistic_mixture",
        )
    },
}
# Reads the files as a stranger would; argv: folder, names of arrays to read and write.
STRANGER = {
    "stablehlo": """
import jax.export
def load(path):
    return jax.export.deserialize(bytearray(open(path, "rb").read())).call
""",
    "onnx": """
import onnxruntime
def load(path):
    session = onnxruntime.InferenceSession(path)
    (x,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return lambda value: dict(zip(names, session.run(names, {x.name: value})))
""",
}
MAIN = """
import json, os, sys
import numpy as np
os.chdir(sys.argv[1])
about = json.load(open("export.json"))
results = {}
given = np.load(sys.argv[2])
for part in ("encoder", "decoder"):
    call = load(about[part]["file"])
    for rows in ("1", "37"):
        for name, value in call(given[part + rows]).items():
            results[f"{part}.{rows}.{name}"] = np.asarray(value)
np.savez(sys.argv[3], **results)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A function: name in MODELS -> its run; those of `mlp` and `vq` are trained.

    A model with state, `vq`, keeps what its training has seen.
    """
    folder, runs = tmp_path_factory.mktemp("runs"), {}

    def get(name: str) -> opened.Run:
        if name not in runs:
            config = small_config(**STEPS, **MODELS[name])
            if name in ("mlp", "vq"):
                single.train(config, folder / name)
                runs[name] = opened.open_run(folder / name)
            else:
                runs[name] = with_numbers(config, folder / name)
        return runs[name]

    return get


def with_numbers(config, workdir) -> opened.Run:
    """As if it had been trained: its parameters are random, away from their start."""
    rng, spec = np.random.default_rng(0), spec_of(8, 8, 1)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(np.float32(rng.normal(0.0, 0.3, leaf.shape))),
        abstract_saved(config, spec).variables,
    )
    return opened.Run(workdir, config, spec, 5, params, {})


def inputs(run: opened.Run) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "encoder": run.spec.image_shape,
        "decoder": (run.config.model.latent_dim,),
    }
    return {
        f"{part}{rows}": rng.random((rows, *shape), np.float32)
        for part, shape in shapes.items()
        for rows in (1, 37)
    }


def expected(run: opened.Run) -> dict[str, np.ndarray]:
    """What the checkpoint's model gives, by the names that a stranger uses."""
    calls = {
        "encoder": lambda x: run.trained.encode(x, jax.random.key(0))[0].posterior,
        "decoder": run.trained.decode,
    }

    @jax.jit
    def by_name(given):
        results = {}
        for name, value in given.items():
            part, rows = name[:7], name[7:]
            distribution = calls[part](value)
            for field in {"mean", *vars(distribution)}:
                results[f"{part}.{rows}.{field}"] = getattr(distribution, field)
        return results

    return jax.device_get(by_name(inputs(run)))


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_a_stranger_computes_the_same(run_of, name, file_format, tmp_path):
    run = run_of(name)
    bundle.export_run(run, file_format, tmp_path / "out")
    np.savez(tmp_path / "given.npz", **inputs(run))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER[file_format] + MAIN]
        + [tmp_path / "out", tmp_path / "given.npz", tmp_path / "results.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"vae_jax", "flax", "optax", "orbax", "ml_collections"}
    assert ("jax" in loaded) == (file_format == "stablehlo")
    wanted = expected(run)
    with np.load(tmp_path / "results.npz") as found:
        assert set(found) == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key], value, atol=1e-5, rtol=1e-5)
    values = [value for key, value in wanted.items() if "37.mean" in key]
    assert all(value.std(axis=0).max() > 1e-3 for value in values)  # rows differ


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_description_fits_the_files(run_of, name, file_format, tmp_path):
    run = run_of(name)
    names = bundle.export_run(run, file_format, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    about = json.loads((tmp_path / "export.json").read_text())
    code_shape = [5, 2] if name in ("fsq", "vq") else [3]
    assert about["code_shape"] == about["decoder"]["inputs"][0]["shape"][1:]
    assert about["code_shape"] == code_shape
    assert about["step"] == 5
    assert about["config"]["model"]["latent_dim"] == 3
    for part in ("encoder", "decoder"):
        (given,) = about[part]["inputs"]
        x = np.random.default_rng(0).random((2, *given["shape"][1:]), given["dtype"])
        content = (tmp_path / about[part]["file"]).read_bytes()
        outputs = formats.FORMATS[file_format].read(content)(x)
        assert outputs.keys() == {entry["name"] for entry in about[part]["outputs"]}
        for entry in about[part]["outputs"]:
            value = outputs[entry["name"]]
            assert list(value.shape) == [2, *entry["shape"][1:]]
            assert str(value.dtype) == entry["dtype"]
            low, high = entry["range"] or (-np.inf, np.inf)
            assert ((value >= low) & (value <= high)).all()
            assert entry["meaning"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "gated"])
def test_prior_of_the_file_is_that_of_the_model(run_of, name, tmp_path):
    run = run_of(name)
    bundle.export_run(run, "stablehlo", tmp_path)
    about = json.loads((tmp_path / "export.json").read_text())["prior"]
    with np.load(tmp_path / about["file"]) as archive:
        arrays = dict(archive)
    assert {key: list(value.shape) for key, value in arrays.items()} == about["arrays"]
    z = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    squares = ((z[:, None] - arrays["mean"]) / np.exp(arrays["log_std"])) ** 2
    log_normal = -0.5 * squares - arrays["log_std"] - 0.5 * np.log(2 * np.pi)
    weighted = np.exp(arrays["log_weights"] + log_normal.sum(axis=2)).sum(axis=1)
    log_prob = jax.jit(
        lambda z: run.model.apply(
            {"params": run.params},
            z,
            method=lambda model, z: model.prior(4).log_prob(z),
        )
    )(z)
    np.testing.assert_allclose(np.log(weighted), log_prob, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsq", "vq"])
def test_codes_of_the_files_are_vectors_of_the_codebook(run_of, name, tmp_path):
    run = run_of(name)
    bundle.export_run(run, "stablehlo", tmp_path)
    about = json.loads((tmp_path / "export.json").read_text())
    assert about["prior"]["name"] == "uniform"
    with np.load(tmp_path / about["prior"]["file"]) as archive:
        codebook = archive["codebook"]
    content = (tmp_path / about["encoder"]["file"]).read_bytes()
    x = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
    found = formats.FORMATS["stablehlo"].read(content)(x)
    np.testing.assert_array_equal(found["code"], codebook[found["index"]])
    encode = jax.jit(lambda x: run.trained.encode(x, jax.random.key(0))[0].posterior)
    np.testing.assert_array_equal(found["index"], encode(x).index)
    assert len(np.unique(found["index"])) > 1


@pytest.mark.parametrize(
    ("fields", "values", "recipe"),
    [
        ({}, "0 or 1", "Bernoulli(v / 255)"),
        ({"data.binarize": "threshold"}, "0 or 1", "v / 255 > 0.5"),
        ({"data.binarize": "none"}, "k / 255", "x = v / 255"),
        (
            {"data.binarize": "none", "data.dequantize": True},
            "any value",
            "(v + u) / 256",
        ),
    ],
)
def test_preprocessing_is_told(fields, values, recipe, tmp_path):
    config = small_config(**fields)
    run = opened.Run(tmp_path, config, spec_of(8, 8, 1), 0, {}, {})
    assert values in description.VALUES[description.levels(run)]
    assert recipe in description.describe_data(run)["preprocessing"]


def untrained(workdir, **fields):
    """A run whose parameters are all 0."""
    config, spec = small_config(**fields), spec_of(8, 8, 1)
    shapes = abstract_saved(config, spec).variables
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return opened.Run(workdir, config, spec, 0, params, {})


def test_an_autoencoder_has_no_prior_whatever_its_config_names(tmp_path):
    run = untrained(tmp_path, **MODELS["autoencoder"], **MODELS["mixture"])
    bundle.check_model(run)
    arrays = bundle.prior_arrays(run)
    assert arrays == {}
    assert description.describe_prior(run, arrays)["name"] == "none"


def test_a_fixed_scale_is_not_said_to_be_bounded(tmp_path):
    fixed = {"normal.scale": "fixed", "normal.scale_value": 1e-5}
    run = untrained(tmp_path, **MODELS["normal"], **fixed)
    (log_std,) = [
        output
        for output in description.describe_decoder(run)["outputs"]
        if output["name"] == "log_std"
    ]
    z = np.zeros((1, *run.trained.prior(1).sample(jax.random.key(0))[0].shape[1:]))
    value = run.trained.decode(z).log_std
    low, high = log_std["range"] or (-np.inf, np.inf)
    assert ((value >= low) & (value <= high)).all()


class Moved(priors.StandardNormal):
    """A prior of a user's own, which is normal but not the standard one."""

    def __call__(self, batch_size):
        return super().__call__(batch_size).replace(mean=jnp.ones((batch_size, 3)))


@struct.dataclass
class Told(distributions.Bernoulli):
    """A distribution of a user's own, with a field that nothing describes."""

    flipped: jax.Array


class ToldLikelihood(likelihoods.BernoulliLikelihood):
    def __call__(self, features):
        return Told(features, 0 * features)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model.likelihood": "told"}, "model.likelihood=told: .* has flipped"),
        ({"model.name": "hierarchical"}, "model.name=hierarchical.* one latent"),
        ({"model.posterior": "coupling_flow"}, "coupling_flow.* diagonal_normal"),
        ({"model.prior": "moved"}, "model.prior=moved: .* only the standard normal"),
    ],
)
def test_models_that_are_refused(fields, message, tmp_path, monkeypatch):
    monkeypatch.setitem(priors.BY_NAME, "moved", Moved)
    monkeypatch.setitem(likelihoods.BY_NAME, "told", ToldLikelihood)
    run = untrained(tmp_path, **fields)
    with pytest.raises(ConfigError, match=message):
        bundle.export_run(run, "stablehlo", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file_format", "package", "extra"),
    [("stablehlo", "flatbuffers", "export"), ("onnx", "jax2onnx", "onnx")],
)
def test_missing_package_names_the_extra(monkeypatch, file_format, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    wanted = rf"{package}: .*pip install 'vae_jax\[{extra}\]'"
    with pytest.raises(ConfigError, match=wanted):
        formats.check_format(file_format)


def test_a_file_that_computes_something_else_is_not_written(monkeypatch):
    chosen = formats.FORMATS["stablehlo"]
    wrong = chosen._replace(read=lambda _: lambda x: {"y": x + 1e-3})
    monkeypatch.setattr(formats, "FORMATS", {"stablehlo": wrong})
    with pytest.raises(ConfigError, match="changes the output y by 1.0e-03"):
        formats.to_bytes(lambda x: {"y": x}, "stablehlo", "x", [2])


def test_16_bits_are_compared_as_they_are_compiled():
    """One by one, the products of a network round to other numbers than together."""
    weights = jax.random.normal(jax.random.key(0), (64, 64), jnp.bfloat16)

    def network(x):
        h = x.astype(jnp.bfloat16)
        for _ in range(4):
            h = jax.nn.gelu(h @ weights)
        return {"y": h.astype(jnp.float32)}

    x = np.random.default_rng(3).random((3, 64), np.float32)
    (content, wanted) = formats.to_bytes(network, "stablehlo", "x", [64]), network(x)
    found = jax.export.deserialize(bytearray(content)).call(x)
    assert (found["y"] != wanted["y"]).any()


@pytest.mark.slow
def test_program(run_of, tmp_path):
    shutil.copytree(run_of("mlp").workdir, tmp_path / "run")
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("text")
    good = {"workdir": "run", "format": "stablehlo", "out": "new"}

    def program(**changed: str) -> tuple[int, str, str]:
        given = {**good, **changed}
        for flag in ("workdir", "out"):
            given[flag] = given[flag] and str(tmp_path / given[flag])
        return run_program("export", *(f"--{k}={v}" for k, v in given.items()))

    for changed, parts in [
        ({"workdir": ""}, ["--workdir is missing"]),
        ({"out": ""}, ["--out is missing"]),
        ({"workdir": "no"}, [f"{tmp_path}/no", "no run"]),
        ({"format": "tflite"}, ["--format=tflite", "stablehlo|onnx"]),
        ({"out": "full"}, [f"--out={tmp_path}/full is not empty"]),
        ({"out": "file"}, [f"--out={tmp_path}/file is a file"]),
        ({"out": "file/new"}, [f"--out={tmp_path}/file/new can't be written"]),
    ]:
        before = on_disk(tmp_path)
        status, out, err = program(**changed)
        assert (status, out) == (1, ""), err
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert all(part in line for part in parts), line
        assert on_disk(tmp_path) == before

    status, out, err = program()
    assert status == 0, err
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == ["decoder.stablehlo", "encoder.stablehlo", "export.json"]
    assert all(name in out for name in written)


@pytest.mark.slow
def test_program_refuses_two_layers(tmp_path):
    workdir = tmp_path / "run"
    own = flags(**{"model.name": "hierarchical", "train.num_steps": 2})
    config = f"--config={REPOSITORY}/configs/digits.py"
    status, _, err = run_program("train", config, f"--workdir={workdir}", *own)
    assert status == 0, err
    status, _, err = run_program(
        "export", f"--workdir={workdir}", "--format=stablehlo", f"--out={tmp_path}/out"
    )
    assert status == 1
    (line,) = err.splitlines()
    assert "model.name=hierarchical" in line
