"""Programs: `python -m experiments.NAME --help`."""

import time

STARTED = time.monotonic()  # of the program, for the time to the first step
