"""A trained run as files for programs without this library or Flax."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.data.examples import IMAGE, inputs
from vae_jax.distributions import (
    LOG_STD_BOUND,
    DiagonalNormal,
    NormalMixture,
    Quantized,
    UniformCodes,
)
from vae_jax.errors import ConfigError
from vae_jax.export import formats
from vae_jax.files import writing
from vae_jax.models.base import LayeredPrior
from vae_jax.outputs import Latent
from vae_jax.runs.opened import Run
from vae_jax.storage.records import write_json
from vae_jax.types import Array

DESCRIPTION = "export.json"
PRIOR = "prior.npz"

# What the outputs are, by name; "distribution" in the description says how they are
# used.
MEANINGS: Mapping[str, str] = {
    "mean": "mean of the distribution",
    "log_std": "natural logarithm of the standard deviation",
    "logits": "logits: log(p / (1 - p))",
    "log_scale": "natural logarithm of the scale",
    "loc": "location; of the mixture: per component, on the last axis",
    "mixture_logits": "logits of the components' weights, on the last axis",
    "coefficients": "shift of a channel's location by the channels before it",
    "code": "vectors of the codebook, one at each site; an input of the decoder",
    "index": "which vector of the codebook it is, at each site",
}
LOAD: Mapping[str, str] = {
    "stablehlo": (
        "jax.export.deserialize(bytearray(content_of_the_file)).call(array) gives a"
        f" dict; needs flatbuffers and jax {jax.__version__} or newer"
    ),
    "onnx": "onnxruntime.InferenceSession(path).run(names, {name_of_input: array})",
}
VALUES: Mapping[str, str] = {
    "binary": "0 or 1",
    "8bit": "k / 255 for k = 0, 1, ..., 255",
    "float": "any value in the range",
}
PREPROCESSING: Mapping[str, str] = {
    "none": "x = v / 255 for stored bytes v; stored floats are x",
    "threshold": "x = 1 where v / 255 > 0.5, else 0, for stored bytes v",
    "dynamic": "x is drawn from Bernoulli(v / 255) for stored bytes v, at each visit",
}
DRAWS: Mapping[str, str] = {
    "normal_mixture": (
        "c ~ Categorical(exp(log_weights)), z = mean[c] + exp(log_std[c]) * eps with"
        " eps ~ N(0, I)"
    ),
    "uniform": (
        "z = codebook[c] with c drawn uniformly from 0, ..., C - 1 for each row and"
        " site, [batch, *code_shape]"
    ),
}
DEQUANTIZED = "x = (v + u) / 256 for stored bytes v, with u drawn from Uniform[0, 1)"


def export_run(run: Run, file_format: str, out: pathlib.Path) -> list[str]:
    """Writes encoder, decoder, their description and, if it has arrays, the prior.

    Args:
        run: a trained run with one latent layer.
        file_format: "stablehlo" or "onnx", see `formats.to_bytes`.
        out: the folder; new or empty.

    Returns:
        Names of the files in `out`. `export.json` is written last: a folder that has
        it is complete.

    Raises:
        ConfigError: the model can't be exported, the folder holds something or can't be
            written, or a package is missing.
    """
    formats.check_format(file_format)
    check_model(run)
    check_out(out)
    encoder, decoder = functions(run)
    code_shape = list(_latents(run)[0].z.shape[1:])
    suffix = f".{file_format}"
    files = {
        f"encoder{suffix}": formats.to_bytes(
            encoder, file_format, "x", run.spec.image_shape
        ),
        f"decoder{suffix}": formats.to_bytes(decoder, file_format, "z", code_shape),
    }
    prior = prior_arrays(run)
    description = {
        "format": file_format,
        "load": LOAD[file_format],
        "step": run.step,
        "code_shape": code_shape,
        "encoder": {"file": f"encoder{suffix}", **describe_encoder(run)},
        "decoder": {"file": f"decoder{suffix}", **describe_decoder(run)},
        "prior": describe_prior(run, prior),
        "data": describe_data(run),
        "config": run.config.to_dict(),
    }
    with writing(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
        if prior:
            np.savez(out / PRIOR, allow_pickle=False, **prior)
        write_json(out / DESCRIPTION, description)
    return [*files, *([PRIOR] if prior else []), DESCRIPTION]


def check_model(run: Run) -> None:
    """Raises unless the model has one latent layer and an exportable posterior.

    Raises:
        ConfigError: says which part can't be exported.
    """
    if inputs(run.model) != IMAGE:
        raise ConfigError(
            f"{run.workdir}: only models of images alone can be exported, and this one"
            f" is given {' and '.join(inputs(run.model))}"
        )
    latents = _latents(run)
    if len(latents) > 1:
        raise ConfigError(
            f"model.name={run.config.model.name}: only models with one latent layer"
            f" can be exported, and this one has {len(latents)}"
        )
    if not hasattr(run.model, "encoder"):
        raise ConfigError(
            f"model.name={run.config.model.name}: only models with a part `encoder` can"
            " be exported"
        )
    posterior, prior = latents[0].posterior, latents[0].prior
    unknown = set(parameters(posterior)) - set(MEANINGS)
    if unknown:
        raise ConfigError(
            f"model.posterior={run.config.model.posterior}: only diagonal_normal and"
            " deterministic posteriors and discrete codes can be exported, as others"
            " have no mean and log_std"
        )
    if not isinstance(prior, DiagonalNormal | NormalMixture | UniformCodes):
        raise ConfigError(
            f"model.prior={run.config.model.prior}: only normal priors, mixtures of"
            " normals and uniform codes can be exported, not a"
            f" {type(prior).__name__}"
        )


def check_out(out: pathlib.Path) -> None:
    """Refuses a folder that is not empty.

    Raises:
        ConfigError: it does, or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out={out} is a file: give a new or an empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out={out} is not empty: give a new or an empty folder")


def functions(run: Run) -> tuple[formats.Function, formats.Function]:
    """x [B, H, W, C] -> parameters of q(z | x), and z [B, ...] -> those of p(x | z)."""
    trained = run.trained

    def encoder(x: Array) -> Mapping[str, Array]:
        # Not `trained.encode`, which also draws: a draw of as many rows as the array
        # will have can't be written into a file.
        return parameters(trained._call(lambda model, x: model.encoder(x), x))

    def decoder(z: Array) -> Mapping[str, Array]:
        likelihood = trained.decode(z)
        return {"mean": likelihood.mean, **parameters(likelihood)}

    return encoder, decoder


def parameters(distribution: Any) -> dict[str, Array]:
    """The fields of a distribution, by name; of discrete codes what tells them."""
    if isinstance(distribution, Quantized):
        return {"code": distribution.mean, "index": distribution.index}
    return {
        field.name: getattr(distribution, field.name)
        for field in dataclasses.fields(distribution)
    }


def describe_encoder(run: Run) -> dict[str, Any]:
    """Input and outputs of the encoder, for the JSON file."""
    x = jax.ShapeDtypeStruct((1, *run.spec.image_shape), np.float32)
    posterior = _latents(run)[0].posterior
    input_x = {**_array("x", x), "range": [0, 1], "values": VALUES[levels(run)]}
    return {
        "distribution": f"q(z | x). {_first_line(posterior)}",
        "inputs": [input_x],
        "outputs": _outputs(parameters(posterior), None),
    }


def describe_decoder(run: Run) -> dict[str, Any]:
    """Input and outputs of the decoder, for the JSON file."""
    z = jax.ShapeDtypeStruct(_latents(run)[0].z.shape, np.float32)
    likelihood = jax.eval_shape(run.trained.decode, z)
    mean = jax.eval_shape(lambda z: run.trained.decode(z).mean, z)
    return {
        "distribution": f"p(x | z). {_first_line(likelihood)}",
        "inputs": [{**_array("z", z), "range": None}],
        "outputs": _outputs(
            {"mean": mean, **parameters(likelihood)},
            None if likelihood.support == "real" else [0, 1],
        ),
    }


def describe_prior(run: Run, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How to draw a code, for the JSON file."""
    if run.config.model.posterior == "deterministic":
        return {"name": "none", "draw": "an autoencoder has no prior to draw from"}
    if not arrays:
        return {"name": "standard_normal", "draw": "z ~ N(0, I), [batch, *code_shape]"}
    name = "uniform" if "codebook" in arrays else "normal_mixture"
    return {
        "name": name,
        "file": PRIOR,
        "arrays": {name: list(value.shape) for name, value in arrays.items()},
        "draw": DRAWS[name],
    }


def prior_arrays(run: Run) -> dict[str, np.ndarray]:
    """What a prior is made of; nothing for the standard normal.

    A mixture's parameters, [C] and [C, D], or the codebook [C, d] of discrete codes.
    """
    prior = _latents(run)[0].prior
    if not isinstance(prior, NormalMixture | UniformCodes):
        return {}
    layered = run.trained.prior(1)
    assert isinstance(layered, LayeredPrior)
    top: Any = layered.top
    if isinstance(prior, UniformCodes):
        return {"codebook": jax.device_get(top.codebook)}
    return jax.device_get(
        {
            "log_weights": top.log_weights,
            "mean": top.component_mean,
            "log_std": top.component_log_std,
        }
    )


def describe_data(run: Run) -> dict[str, Any]:
    """The training data, and how stored values become the model's input."""
    data = run.config.data
    recipe = DEQUANTIZED if data.dequantize else PREPROCESSING[data.binarize]
    return {
        "name": data.name,
        "image_shape": list(run.spec.image_shape),
        "axes": ["height", "width", "channel"],
        "preprocessing": recipe,
    }


def levels(run: Run) -> str:
    """The values of x: a name in `VALUES`."""
    data = run.config.data
    if data.binarize != "none":
        return "binary"
    return "float" if data.dequantize else run.spec.levels


def _latents(run: Run) -> tuple[Latent, ...]:
    """Shapes of the latent layers for one image."""
    x = jax.ShapeDtypeStruct((1, *run.spec.image_shape), np.float32)
    return jax.eval_shape(run.trained.encode, x, jax.random.key(0))


def _outputs(
    arrays: Mapping[str, Any], range_of_mean: list[int] | None
) -> list[dict[str, Any]]:
    bound = int(LOG_STD_BOUND)
    ranges = {"mean": range_of_mean, "log_std": [-bound, bound]}
    return [
        {**_array(name, x), "range": ranges.get(name), "meaning": MEANINGS[name]}
        for name, x in arrays.items()
    ]


def _array(name: str, x: Any) -> dict[str, Any]:
    """Name, shape and dtype of an array whose first axis is the batch."""
    return {"name": name, "shape": ["batch", *x.shape[1:]], "dtype": str(x.dtype)}


def _first_line(distribution: Any) -> str:
    return (type(distribution).__doc__ or "").partition("\n")[0]
