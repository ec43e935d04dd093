"""Speed, compared in one run."""

import importlib.util
import sys

# Beyond what the library needs by itself; a twin in PyTorch does without any of them.
_PACKAGES = ("jax", "ml_collections", "orbax", "matplotlib")

# Only where this is a program's beginning, `python -m benchmarks.NAME`.
if sys.argv[0] == "-m" and not any("torch_" in word for word in sys.orig_argv):
    for _name in _PACKAGES:
        if importlib.util.find_spec(_name) is None:
            sys.exit(
                f"error: {sys.executable} has no package {_name}: activate the"
                " environment that `make install-dev` makes, `. .venv/bin/activate`,"
                " or pip install 'vae_jax[dev]'"
            )
