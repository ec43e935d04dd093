"""What the files of an export are, as JSON: names, shapes, ranges and meanings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import LOG_STD_BOUND, Quantized
from vae_jax.outputs import Latent
from vae_jax.runs.opened import Run
from vae_jax.types import Array

DESCRIPTION, PRIOR = "export.json", "prior.npz"

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
    "real": "any real number",
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


def is_autoencoder(run: Run) -> bool:
    """Whether a code is a point, so that there is no prior to draw from."""
    return bool(run.config.model.posterior == "deterministic")


def describe_encoder(run: Run) -> dict[str, object]:
    """Input and outputs of the encoder, for the JSON file."""
    x = jax.ShapeDtypeStruct((1, *run.spec.image_shape), np.float32)
    posterior = latents(run)[0].posterior
    found, bound = levels(run), int(LOG_STD_BOUND)
    bounds = None if found == "real" else [0, 1]
    input_x = {**_array("x", x), "range": bounds, "values": VALUES[found]}
    return {
        "distribution": f"q(z | x). {_first_line(posterior)}",
        "inputs": [input_x],
        "outputs": _outputs(parameters(posterior), {"log_std": [-bound, bound]}),
    }


def describe_decoder(run: Run) -> dict[str, object]:
    """Input and outputs of the decoder, for the JSON file."""
    z = _code(run)
    found = likelihood(run)
    mean = jax.eval_shape(lambda z: run.trained.decode(z).mean, z)
    # Of a fixed scale there are no bounds.
    ranges = {} if found.support == "real" else {"mean": [0, 1]}
    return {
        "distribution": f"p(x | z). {_first_line(found)}",
        "inputs": [{**_array("z", z), "range": None}],
        "outputs": _outputs({"mean": mean, **parameters(found)}, ranges),
    }


def describe_prior(run: Run, arrays: Mapping[str, np.ndarray]) -> dict[str, object]:
    """How to draw a code, for the JSON file."""
    if is_autoencoder(run):
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


def parameters(distribution: Any) -> dict[str, Array]:
    """The fields of a distribution, by name; of discrete codes what tells them."""
    if isinstance(distribution, Quantized):
        return {"code": distribution.mean, "index": distribution.index}
    return {
        field.name: getattr(distribution, field.name)
        for field in dataclasses.fields(distribution)
    }


def describe_data(run: Run) -> dict[str, object]:
    """The training data, and how stored values become the model's input."""
    data = run.config.data
    recipe = DEQUANTIZED if data.dequantize else PREPROCESSING[data.binarize]
    if run.spec.is_rows:
        recipe = "x are the stored rows"
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


def _outputs(
    arrays: Mapping[str, Array], ranges: Mapping[str, list[int]]
) -> list[dict[str, object]]:
    return [
        {**_array(name, x), "range": ranges.get(name), "meaning": MEANINGS[name]}
        for name, x in arrays.items()
    ]


def _array(name: str, x: Array | jax.ShapeDtypeStruct) -> dict[str, object]:
    """Name, shape and dtype of an array whose first axis is the batch."""
    return {"name": name, "shape": ["batch", *x.shape[1:]], "dtype": str(x.dtype)}


def _first_line(distribution: object) -> str:
    return (type(distribution).__doc__ or "").partition("\n")[0]


def latents(run: Run) -> tuple[Latent, ...]:
    """Shapes of the latent layers for one image."""
    x = jax.ShapeDtypeStruct((1, *run.spec.image_shape), np.float32)
    return jax.eval_shape(run.trained.encode, x, jax.random.key(0))


def likelihood(run: Run) -> Any:
    """Shapes of p(x | z) for one code."""
    return jax.eval_shape(run.trained.decode, _code(run))


def _code(run: Run) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(latents(run)[0].z.shape, np.float32)
