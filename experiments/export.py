"""Exports a trained run: to ONNX, StableHLO or safetensors.

    python -m experiments.export --workdir=runs/mnist --format=onnx --out=DIR
    python -m experiments.export --workdir=runs/mnist --format=stablehlo --out=DIR
    python -m experiments.export --workdir=runs/mnist --format=safetensors --out=DIR

onnx runs in onnxruntime, stablehlo in JAX without Flax: encoder and decoder, for any
number of rows. DIR/export.json describes inputs, outputs, prior and preprocessing; the
prior's parameters, if it has any, are in DIR/prior.npz. safetensors are the weights of
any model, with its config and a model card, to be opened with this library again or
uploaded to a hub. docs/export.md shows how to load them.
"""

from absl import flags

from experiments import cli, config_files
from vae_jax.errors import ConfigError

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    ["stablehlo", "onnx", "safetensors"],
    "Format of the exported files.",
)
_OUT = cli.define_path("out", None, "Folder for the exported files; new or empty.")
_LICENSE = flags.DEFINE_string(
    "license",
    None,
    "Licence of the weights, for the model card of safetensors: an identifier such as"
    " mit or cc-by-4.0. By default the card says that it is unknown.",
)


def main() -> None:
    """Exports the run and prints what was written."""
    cli.required(workdir=_WORKDIR.value, format=_FORMAT.value, out=_OUT.value)
    from vae_jax.export import bundle, card, weights
    from vae_jax.runs import opened

    out, file_format = _OUT.value, _FORMAT.value
    if _LICENSE.value and file_format != weights.FORMAT:
        raise ConfigError(
            f"--license={_LICENSE.value} stands in the model card, which only"
            f" --format={weights.FORMAT} writes"
        )
    run = opened.open_run(_WORKDIR.value)
    if file_format == weights.FORMAT:
        defaults = config_files.defaults()
        chosen = _LICENSE.value or card.UNKNOWN
        names = weights.export_weights(run, out, defaults, chosen)
    else:
        names = bundle.export_run(run, file_format, out)
    print(f"{', '.join(names)} in {out}")


if __name__ == "__main__":
    cli.run(main)
