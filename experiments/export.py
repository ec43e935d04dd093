"""Exports the encoder and decoder of a trained run to ONNX or StableHLO.

    python -m experiments.export --workdir=runs/mnist --format=onnx --out=DIR
    python -m experiments.export --workdir=runs/mnist --format=stablehlo --out=DIR

onnx runs in onnxruntime, stablehlo in JAX without Flax; both take any number of rows.
DIR/export.json describes inputs, outputs, prior and preprocessing; the prior's
parameters, if it has any, are in DIR/prior.npz. docs/export.md shows how to load them.
"""

import pathlib

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_FORMAT = flags.DEFINE_enum(
    "format", None, ["stablehlo", "onnx"], "Format of the exported files."
)
_OUT = cli.define_path("out", None, "Folder for the exported files; new or empty.")


def main() -> None:
    """Exports the run and prints what was written."""
    cli.required(workdir=_WORKDIR.value, format=_FORMAT.value, out=_OUT.value)
    from vae_jax.export import bundle
    from vae_jax.runs import opened

    out = pathlib.Path(_OUT.value)
    run = opened.open_run(_WORKDIR.value)
    names = bundle.export_run(run, _FORMAT.value, out)
    print(f"{', '.join(names)} in {out}")


if __name__ == "__main__":
    cli.run(main)
