"""Runs that are killed, filled up, damaged and signalled: `python -m tests.torture`."""
