"""Programs: `python -m experiments.NAME --help`."""
