"""A trained run as files for programs without this library or Flax."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.data.examples import IMAGE, inputs
from vae_jax.distributions import DiagonalNormal, NormalMixture, UniformCodes
from vae_jax.errors import ConfigError
from vae_jax.export import formats
from vae_jax.export.checks import check_out, filling
from vae_jax.export.description import (
    DESCRIPTION,
    LOAD,
    MEANINGS,
    PRIOR,
    describe_data,
    describe_decoder,
    describe_encoder,
    describe_prior,
    is_autoencoder,
    latents,
    likelihood,
    parameters,
)
from vae_jax.models.base import LayeredPrior
from vae_jax.runs.opened import Run
from vae_jax.storage.records import write_json
from vae_jax.types import Array


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
    code_shape = list(latents(run)[0].z.shape[1:])
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
    with filling(out):
        for name, content in files.items():
            (out / name).write_bytes(content)
        if prior:
            arrays: dict[str, Any] = prior
            np.savez(out / PRIOR, **arrays)
        write_json(out / DESCRIPTION, description)
    return [*files, *([PRIOR] if prior else []), DESCRIPTION]


def check_model(run: Run) -> None:
    """Raises unless the model has one latent layer, of parts that can be exported.

    Raises:
        ConfigError: says which part can't be exported.
    """
    if inputs(run.model) != IMAGE:
        raise ConfigError(
            f"{run.workdir}: only models of images alone can be exported, and this one"
            f" is given {' and '.join(inputs(run.model))}"
        )
    layers = latents(run)
    if len(layers) > 1:
        raise ConfigError(
            f"model.name={run.config.model.name}: only models with one latent layer"
            f" can be exported, and this one has {len(layers)}"
        )
    if not hasattr(run.model, "encoder"):
        raise ConfigError(
            f"model.name={run.config.model.name}: only models with a part `encoder` can"
            " be exported"
        )
    posterior, prior = layers[0].posterior, layers[0].prior
    unknown = set(parameters(posterior)) - set(MEANINGS)
    if unknown:
        raise ConfigError(
            f"model.posterior={run.config.model.posterior}: only diagonal_normal and"
            " deterministic posteriors and discrete codes can be exported, as others"
            " have no mean and log_std"
        )
    unknown = set(parameters(likelihood(run))) - set(MEANINGS)
    if unknown:
        raise ConfigError(
            f"model.likelihood={run.config.model.likelihood}: only distributions of"
            f" {', '.join(MEANINGS)} can be exported, and this one has"
            f" {', '.join(sorted(unknown))}"
        )
    if not isinstance(prior, DiagonalNormal | NormalMixture | UniformCodes):
        raise ConfigError(
            f"model.prior={run.config.model.prior}: only normal priors, mixtures of"
            " normals and uniform codes can be exported, not a"
            f" {type(prior).__name__}"
        )


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


def prior_arrays(run: Run) -> dict[str, np.ndarray]:
    """What a prior is made of; nothing for the standard normal, or where there is none.

    A mixture's parameters, [C] and [C, D], or the codebook [C, d] of discrete codes.
    """
    if is_autoencoder(run):
        return {}
    layered = run.trained.prior(1)
    assert isinstance(layered, LayeredPrior)
    top: Any = layered.top
    if isinstance(top, DiagonalNormal):
        if not top.is_standard.all():
            raise ConfigError(
                f"model.prior={run.config.model.prior}: of normal priors only the"
                " standard normal can be exported"
            )
        return {}
    if isinstance(top, UniformCodes):
        return {"codebook": jax.device_get(top.codebook)}
    return jax.device_get(
        {
            "log_weights": top.log_weights,
            "mean": top.component_mean,
            "log_std": top.component_log_std,
        }
    )
