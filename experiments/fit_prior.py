"""Fits a prior to the codes of a trained run, to draw from and to evaluate with.

    python -m experiments.fit_prior --workdir=runs/mnist --prior=gmm
    python -m experiments.sample --workdir=runs/mnist --prior=gmm --out=samples.png

The prior of training stays as it is. Priors are

- gaussian: a normal with the mean and the full covariance of the codes;
- gmm: a mixture of --num_components such normals;
- flow: affine couplings, trained by maximum likelihood;
- two_stage: a second VAE, on the codes;
- autoregressive: for discrete codes, a transformer over their sites.

The prior is written to WORKDIR/priors/NAME/, with a picture of draws. The last line has
what a code costs under it in nats, minus log p(z), on training and validation images:
for codes that are real numbers of a density, so that it may be negative.
"""

from absl import flags

from experiments import cli

NUM_SAMPLES = 64

_WORKDIR = cli.define_path("workdir", None, "Folder of a trained run.")
_PRIOR = flags.DEFINE_string(
    "prior", None, "Which prior, by its name in the list above."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random draws.")
_DATA_DIR = cli.define_path("data_dir", None, "Where the data lie, if moved.")
_SETTINGS = [
    flags.DEFINE_integer("num_components", None, "gmm: how many normals (10)."),
    flags.DEFINE_integer(
        "num_layers", None, "flow: couplings (8); autoregressive: blocks (4)."
    ),
    flags.DEFINE_integer(
        "width",
        None,
        "Hidden units of flow (128), two_stage (256), autoregressive (128).",
    ),
    flags.DEFINE_integer(
        "num_steps",
        None,
        "Updates of flow (5000), two_stage (10000), autoregressive (3000).",
    ),
    flags.DEFINE_float("learning_rate", None, "Of the same, at its highest (0.001)."),
]


def main() -> None:
    """Fits a prior and says what it costs."""
    cli.required(workdir=_WORKDIR.value, prior=_PRIOR.value)

    from vae_jax.as_text import few_digits
    from vae_jax.files import writing
    from vae_jax.keys import root_key
    from vae_jax.report import plots
    from vae_jax.report.progress import ProgressBar
    from vae_jax.runs import opened
    from vae_jax.runs.fit_prior import fit_prior

    run = opened.open_run(_WORKDIR.value)
    given = {f.name: f.value for f in _SETTINGS if f.value is not None}
    with ProgressBar(f"fit {_PRIOR.value}", 1) as bar:
        folder, record = fit_prior(
            run,
            _PRIOR.value,
            given,
            seed=_SEED.value,
            data_dir=_DATA_DIR.value,
            progress=bar.advance,
        )
    why_not = run.spec.why_no_pictures
    if not why_not:
        key = root_key(_SEED.value)
        samples = run.with_prior(_PRIOR.value).draws(key, NUM_SAMPLES)
        with writing(folder):
            (folder / "figures").mkdir(exist_ok=True)
            plots.samples(samples["mean"], folder / "figures" / "samples.png")
    nats = few_digits(record.train_nats), few_digits(record.validation_nats)
    print(
        f"{folder}: {nats[0]} nats a code in training, {nats[1]} in validation, in"
        f" {record.seconds:.0f} s{f'; no figure: {why_not}' if why_not else ''}"
    )


if __name__ == "__main__":
    cli.run(main)
