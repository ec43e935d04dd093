"""Settings that hold for every test."""

import gc
import os
import pathlib
import tempfile

# Each core has a worker already. Threads of OpenBLAS, which NumPy and SciPy start when
# they are imported, would wait for each other: a fit by scikit-learn takes 1.7 times as
# long with two.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax  # noqa: E402
import pytest  # noqa: E402

# Nearly all of the time goes to the compiler: no program here runs for long, and many
# are compiled by several tests and processes. So it optimises little and its programs
# lie in a cache, in the programs that tests start, too. `XLA_FLAGS= make test` has them
# compiled as users do.
# (At an optimisation level of 0, equal programs of other lengths round differently.)
# Each core has a worker already, so one thread compiles a program.
# An XLA that does not know a flag ends the process: newer ones know the first two.
XLA_FLAGS = "--xla_backend_optimization_level=1"
XLA_FLAGS += " --xla_cpu_parallel_codegen_split_count=1"
if tuple(map(int, jax.__version__.split(".")[:2])) < (0, 11):
    XLA_FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
# Nor need a compiled program know which lines of Python it came from.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
limit = int(os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"])
jax.config.update("jax_traceback_in_locations_limit", limit)
# Of this run only: entries from elsewhere could hide a problem. To find an entry takes
# as long as to compile a single operation.
LEAST_SECONDS = 0.04
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="vae_jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(LEAST_SECONDS)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
jax.config.update("jax_numpy_rank_promotion", "raise")

# What JAX has traced stays: a worker holds millions of objects. To look through them as
# often as Python does by itself took a tenth of the time.
gc.set_threshold(100_000, 50, 100)

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first: a worker that begins one last ends alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def raw_data() -> pathlib.Path:
    """The folder with the original MNIST files, for tests on real images.

    `VAE_JAX_RAW_DATA`, or `shared/data` beside the checkout.
    """
    folder = os.environ.get("VAE_JAX_RAW_DATA", REPOSITORY.parent / "shared" / "data")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        pytest.skip(f"needs the original data files; there are none in {folder}")
    return folder
