"""Flags that say where a program runs: on which devices, in how many processes.

    --mesh=member=4,data=2                                     8 devices
    --coordinator=HOST:PORT --num_processes=N --process_id=I   process I of N
    --coordinator=auto                                         on a known cluster

docs/scaling.md has whole commands.
"""

import os
import sys
import threading
from collections.abc import Mapping

from absl import flags, logging

from vae_jax.errors import ConfigError

_MESH = flags.DEFINE_string(
    "mesh",
    "",
    "Number of devices per axis: data=8, or member=4,data=2; empty: automatic.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    "",
    "HOST:PORT of process 0, which the others connect to; auto: ask the cluster.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", 0, "Number of processes.")
_PROCESS_ID = flags.DEFINE_integer("process_id", -1, "Number of this process, from 0.")
_TIMEOUT_S = flags.DEFINE_integer(
    "coordinator_timeout_s", 60, "Seconds to wait for an unresponsive process."
)


def mesh() -> Mapping[str, int] | None:
    """The flag --mesh."""
    from vae_jax.training.mesh import parse_mesh

    return parse_mesh(_MESH.value)


def connect() -> None:
    """Connects to the other processes, if there are any; before JAX is used.

    Raises:
        ConfigError: flags contradict each other, or JAX detects no cluster.
    """
    place, count, own = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
    if _TIMEOUT_S.value < 1:
        raise ConfigError(
            f"--coordinator_timeout_s={_TIMEOUT_S.value}: must be above 0"
        )
    if place in ("", "auto"):
        if count or own != -1:
            raise ConfigError(
                f"--num_processes={count} --process_id={own}: need"
                " --coordinator=HOST:PORT"
            )
    else:
        host, _, port = place.rpartition(":")
        if not (host and port.isdigit() and 0 < int(port) < 2**16):
            raise ConfigError(f"--coordinator={place}: must be HOST:PORT or auto")
        if not 0 <= own < count:
            raise ConfigError(
                f"--num_processes={count} --process_id={own}: the number must be above"
                " 0, and the id from 0 to one below it"
            )
    if not place:
        return
    import jax

    # Processes on CPUs communicate by gloo; other devices have their own library.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    timer = threading.Timer(_TIMEOUT_S.value, _give_up, [place])
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            *(() if place == "auto" else (place, count, own)),
            # At the end of its own limit JAX aborts with a trace, so ours comes first.
            initialization_timeout=_TIMEOUT_S.value + 60,
            heartbeat_timeout_seconds=_TIMEOUT_S.value,
        )
    except (ValueError, RuntimeError) as error:
        known = " (auto detects SLURM, Open MPI, Kubernetes and TPU pods)"
        raise ConfigError(
            f"--coordinator={place}: {str(error).splitlines()[0]}"
            f"{known if place == 'auto' else ''}"
        ) from error
    finally:
        timer.cancel()
    if jax.process_index():
        logging.set_verbosity(logging.WARNING)  # only process 0 logs


def _give_up(place: str) -> None:
    """Ends a process that is blocked in JAX, where no exception reaches it."""
    print(
        f"error: --coordinator={place}: the processes did not all meet there within"
        f" --coordinator_timeout_s={_TIMEOUT_S.value}; is each --process_id from 0 to"
        " --num_processes - 1 running, and does the host let the port through?",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
