"""Lists the runs in a folder: what differs, state, step, ELBO and coverage.

    python -m experiments.list runs

Grids are listed member by member. A run differs in a field if others in the folder have
another value there; fields at their defaults are left out, but for those that its own
grid varies. ELBO, in nats, and coverage, the share of held-out images that have a draw
from the prior among their nearest neighbours, are those of finished runs, on the test
split. Runs that stopped resume by the command that began them. Where stdout is no
terminal each run is one line.
"""

from experiments import cli, config_files
from vae_jax.errors import ConfigError


def main(*folders: str) -> None:
    """Prints a table for each folder."""
    if not folders:
        raise ConfigError("give a folder of runs, as in `list runs`")
    from vae_jax.paths import local_path
    from vae_jax.report import terminal
    from vae_jax.runs import listing

    usual = config_files.defaults()
    tables = [listing.table(local_path(folder), usual) for folder in folders]
    for rows in tables:
        terminal.print_table(listing.HEADS, rows, folded=2)


if __name__ == "__main__":
    cli.run(main, takes="FOLDER ...")
