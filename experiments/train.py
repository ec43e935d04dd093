r"""Trains a VAE, evaluates it on the test split and draws its figures.

    python -m experiments.train --config=configs/digits.py --workdir=runs/digits
    python -m experiments.train --config=configs/mnist.py --config.data.dir=DATA \
        --config.hparams.kl_weight=4 --workdir=runs/beta4

Run again on the same workdir, it resumes from the newest checkpoint, and the outcome is
bit for bit that of an uninterrupted run. Writes metrics.jsonl, checkpoints/,
results.json, figures/ and what config.train.trackers names, by default tensorboard/.
Runs on all devices that divide the batch, and in several processes with the flags of
docs/scaling.md.
"""

from absl import flags

from experiments import cli, launch

_CONFIG = cli.define_config()
_WORKDIR = cli.define_path("workdir", None, "Folder of the run; made if missing.")
_INIT_FROM = cli.define_path(
    "init_from", None, "Workdir of a run whose parameters to start from."
)
_ALL = flags.DEFINE_bool("all", False, "Print all numbers of the result.")


def main() -> None:
    """Trains and prints the results."""
    cli.required(workdir=_WORKDIR.value, config=_CONFIG.value)
    from vae_jax.report import terminal
    from vae_jax.runs import finish, processes, single
    from vae_jax.runs.diagnosis import diagnose_run

    launch.connect()
    config = _CONFIG.value
    if _INIT_FROM.value:
        config.train.init_from = str(_INIT_FROM.value)
    results = single.train(config, _WORKDIR.value, mesh=launch.mesh())
    if processes.is_first():
        terminal.print_results(
            _WORKDIR.value, results, finish.quantities(), everything=_ALL.value
        )
        for sentence in diagnose_run(_WORKDIR.value):
            terminal.print_text(sentence)


if __name__ == "__main__":
    cli.run(main)
