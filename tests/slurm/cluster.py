"""A SLURM of one node on this machine: its own folder, ports and key, loopback only."""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
START_S = 30
CONFIG = """\
ClusterName=vae-jax-tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
# A job that is requeued waits for as long as its old credential is valid.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# More CPUs than there are, so that as many jobs run side by side anywhere.
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing() -> list[str]:
    """The programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


class Cluster:
    """Runs the commands of a SLURM."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": _path(),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def run(self, *words: str | os.PathLike[str], cwd: str = ".") -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            [*map(str, words)],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def wait(self, job: str, states: str, limit_s: float = 600) -> None:
        """Until no task of a job is in any of these states, as "PD,R"."""
        deadline = time.monotonic() + limit_s
        while self.run("squeue", "--noheader", f"--jobs={job}", f"--states={states}"):
            assert time.monotonic() < deadline, self.run("squeue", "--array")
            time.sleep(0.3)


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A cluster that is there until the end, with all that it started."""
    with contextlib.ExitStack() as stack:
        # A path of a socket is short, and munge wants its folder open to others.
        own = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
        stack.callback(shutil.rmtree, own, ignore_errors=True)
        folder = pathlib.Path(own)
        folder.chmod(0o755)
        for name in ("munge", "state", "spool", "log"):
            (folder / name).mkdir()
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o400)
        ports = [_free_port() for _ in range(2)]
        text = CONFIG.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            ctld_port=ports[0],
            slurmd_port=ports[1],
        )
        (folder / "slurm.conf").write_text(text)
        cluster = Cluster(folder)
        files = {
            "--key-file": "key",
            "--socket": "socket",
            "--pid-file": "pid",
            "--log-file": "log",
            "--seed-file": "seed",
        }
        munge = [f"{flag}={folder}/munge/{file}" for flag, file in files.items()]
        _start(stack, cluster, "munged", "--foreground", *munge)
        _start(stack, cluster, "slurmctld", "-D")
        _start(stack, cluster, "slurmd", "-D")
        stack.callback(_cancel_all, cluster)
        deadline = time.monotonic() + START_S
        while "idle" not in _told(cluster, "sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < deadline, _logs(folder)
            time.sleep(0.2)
        yield cluster


def _start(stack: contextlib.ExitStack, cluster: Cluster, *words: str) -> None:
    """Starts a daemon, which ends before those that were started earlier."""
    log = stack.enter_context((cluster.folder / "log" / words[0]).open("wb"))
    daemon = subprocess.Popen(
        words, env=cluster.environment, stdout=log, stderr=log, start_new_session=True
    )

    def end() -> None:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()

    stack.callback(end)


def _cancel_all(cluster: Cluster) -> None:
    """Ends what still runs, and waits until the node is free of it."""
    _told(cluster, "scancel", f"--user={getpass.getuser()}")
    deadline = time.monotonic() + START_S
    while _told(cluster, "squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.2)


def _told(cluster: Cluster, *words: str) -> str:
    """What a command prints, also where it fails."""
    done = subprocess.run(
        words, env=cluster.environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def _logs(folder: pathlib.Path) -> str:
    logs = sorted((folder / "log").iterdir())
    return "\n".join(path.read_text()[-2000:] for path in logs)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _path() -> str:
    """Where daemons lie is not on the path of every user."""
    return f"{os.environ['PATH']}:/usr/sbin"
