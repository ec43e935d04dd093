"""Draws new images from a trained run: z from the prior, decoded.

    python -m experiments.sample --workdir=runs/mnist --num=64 --out=samples.png
    python -m experiments.sample --workdir=runs/mnist --num=1000 --out=samples.npz

With --prior=NAME z comes from a prior that `experiments.fit_prior` has fitted to the
codes. A .png shows the means of p(x | z) as a grid; an .npz holds `z`, `mean` and,
where the likelihood can be drawn from, `draw`. With several latent layers, `z` is of
the one next to the data, and `z2`, `z3`, ... are of those above.

A conditional run draws images of all labels in turn, or of those of --label=3 or
--label=0,1,2. The .png has rows for each label, and the .npz also holds `label`. With
model.name=m2 a label is a class: drawn, too, or that of --label.
"""

from absl import flags

from experiments import cli
from vae_jax.errors import ConfigError
from vae_jax.ranges import COUNT, NOT_NEGATIVE, SEED, require

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_NUM = flags.DEFINE_integer("num", 64, "Number of images to draw.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random draws.")
_TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Factor on the prior's standard deviation."
)
_PRIOR = flags.DEFINE_string(
    "prior", None, "Name of a fitted prior to draw from; default: that of training."
)
_LABEL = flags.DEFINE_list(
    "label",
    None,
    "Labels to draw images of, in turn; default: all. Conditional runs and m2.",
)
_OUT = cli.define_path("out", None, "File to write: FILE.png or FILE.npz.")


def main() -> None:
    """Draws images and writes them."""
    cli.required(workdir=_WORKDIR.value, out=_OUT.value)
    out = _OUT.value
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out={out}: must end in .png or .npz")
    require(COUNT, **{"--num": _NUM.value})
    require(NOT_NEGATIVE, **{"--temperature": _TEMPERATURE.value})
    require(SEED, **{"--seed": _SEED.value})
    from vae_jax.files import writing
    from vae_jax.keys import root_key
    from vae_jax.report import plots
    from vae_jax.runs import opened
    from vae_jax.runs.asked_labels import whole_numbers
    from vae_jax.runs.memory import check_samples
    from vae_jax.storage.records import write_arrays
    from vae_jax.suitability import check_picture

    asked = None if _LABEL.value is None else whole_numbers(_LABEL.value, "--label")
    run = opened.open_run(_WORKDIR.value, _PRIOR.value)
    check_picture(out, run.spec)
    check_samples(run.code_size, run.spec, f"--num={_NUM.value}", _NUM.value)
    samples = run.draws(root_key(_SEED.value), _NUM.value, _TEMPERATURE.value, asked)
    with writing(f"--out={out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".png":
            plots.samples(samples["mean"], out, samples.get("label"))
        else:
            for name in {"mean", "draw"} & samples.keys():
                samples[name] = run.spec.as_stored(samples[name])
            write_arrays(out, samples)
    print(f"{_NUM.value} samples in {out}")


if __name__ == "__main__":
    cli.run(main)
