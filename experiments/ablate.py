r"""Trains a grid of runs as one compiled program and writes a report.

    python -m experiments.ablate --config=configs/mnist.py --workdir=runs/kl \
        --sweep=hparams.kl_weight=0,0.1,0.25,0.5,1,2,4,8 --seeds=3

Several --sweep flags make a grid. A --case sets several fields at once, and each case
is combined with all swept values:

    python -m experiments.ablate --config=configs/digits.py --workdir=runs/objectives \
        --config.data.binarize=threshold --seeds=3 \
        --case="objective.name=elbo hparams.kl_weight=4" \
        --case="objective.name=beta_tc hparams.tc_weight=5" \
        --case="objective.name=dip_ii hparams.covariance_weight=10"

KL weight, learning rate, warm-up, capacity, free
nats and the seed are members of one program; any other field (latent_dim, likelihood,
network ...) splits the grid into several, trained in turn. Run again on the same
workdir, it resumes where it was interrupted. Writes results.csv, summary.csv, figures/
and report.html; each member lies in members/NAME as an ordinary run for evaluate,
sample, encode and reconstruct. With eval.figures it also writes explorer.html, the page
of `experiments.explore`.

With --shard=3/8 it trains the fourth of eight parts of the grid, in shards/3-of-8, and
with --shard=auto the part that an array of SLURM or AWS Batch asks for; docs/scaling.md
has whole jobs. The program report puts the parts together.
"""

import os
import shlex
import sys

from absl import flags, logging

from experiments import cli, launch
from vae_jax.errors import ConfigError

_CONFIG = cli.define_config()
_WORKDIR = cli.define_path("workdir", None, "Folder of the grid; made if missing.")
_INIT_FROM = cli.define_path(
    "init_from", None, "Workdir of a run whose parameters all members start from."
)
_SWEEP = flags.DEFINE_multi_string(
    "sweep", [], "FIELD=VALUE,VALUE,...: config field and its values; may be repeated."
)
_CASE = flags.DEFINE_multi_string(
    "case",
    [],
    "'FIELD=VALUE FIELD=VALUE ...': values of several config fields that go together;"
    " may be repeated.",
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 1, "Number of runs per combination, with seeds seed, seed + 1, ..."
)
_MODE = flags.DEFINE_enum(
    "mode",
    "vmap",
    ["vmap", "exact"],
    "vmap: members side by side; exact: in turn, bit for bit equal to single runs, and"
    " on a CPU often the faster one for a large network.",
)
_MEMBERS = flags.DEFINE_integer(
    "members_per_program",
    0,
    "Largest number of members in one program; 0: as many as fit.",
)
_SHARD = flags.DEFINE_string(
    "shard",
    None,
    "I/N: train part I of N, from 0; auto or auto/N: the part that an array of SLURM or"
    " AWS Batch asks for, or with N a Job of Kubernetes.",
)


def main() -> None:
    """Trains the grid and writes the report."""
    cli.required(workdir=_WORKDIR.value, config=_CONFIG.value)
    if _MEMBERS.value < 0:
        raise ConfigError(f"--members_per_program={_MEMBERS.value}: must be 0 or more")
    from vae_jax.runs import finish, grid, members, processes, shards, sweep
    from vae_jax.runs.diagnosis import diagnose_grid

    config, workdir = _CONFIG.value, _WORKDIR.value
    command = ["python", "-m", "vae_jax", "ablate", *sys.argv[1:]]
    shard = None
    if _SHARD.value is not None:
        whole = _without("shard", command)
        shard = shards.parse_shard(_SHARD.value, os.environ, whole)
    if _INIT_FROM.value:
        config.train.init_from = str(_INIT_FROM.value)
    if _MODE.value == "vmap":
        _a_device_per_core()
    launch.connect()
    rows = grid.train_grid(
        config,
        workdir,
        _SWEEP.value,
        _SEEDS.value,
        cases=_CASE.value,
        mode=_MODE.value,
        members_per_program=_MEMBERS.value,
        mesh=launch.mesh(),
        shard=shard,
    )
    if not processes.is_first():
        return
    if shard is not None:
        workdir = shards.folder(workdir, shard)
    from vae_jax.report import terminal
    from vae_jax.report.page import write_report  # matplotlib is slow to import
    from vae_jax.report.summary import print_summary
    from vae_jax.runs.exploration import explore_grid

    title = workdir.resolve().name
    swept = sweep.swept_fields(config, _SWEEP.value, _CASE.value)
    folders = [members.folder(workdir, row["name"]) for row in rows]
    if config.eval.figures:
        logging.info("drawing the explorer of %d runs", len(rows))
        explore_grid(folders, workdir / "explorer.html", title)
    logging.info("drawing the report of %d runs", len(rows))
    report = write_report(
        workdir,
        rows,
        folders,
        quantities=finish.quantities(),
        swept=swept,
        config=config.to_dict(),
        commands=[shlex.join(command)],
        title=title,
    )
    for sentence in diagnose_grid(workdir, rows, swept):
        terminal.print_text(sentence)
    print_summary(rows, swept, report)


def _without(flag: str, words: list[str]) -> list[str]:
    """A command without a flag and its value."""
    kept: list[str] = []
    for number, word in enumerate(words):
        is_value = number > 0 and words[number - 1].lstrip("-") == flag
        if not is_value and word.lstrip("-").partition("=")[0] != flag:
            kept.append(word)
    return kept


def _num_cores() -> int:
    """How many CPU cores this process may use; an engine may have given it a few."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _a_device_per_core() -> None:
    """Gives each CPU core a device: small members run best on one core each."""
    import jax

    chosen = "device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen and jax.config.jax_num_cpu_devices < 1:
        jax.config.update("jax_num_cpu_devices", _num_cores())


if __name__ == "__main__":
    cli.run(main)
