"""What all programs share: flags, config files, and errors as one line.

It and the programs import what takes long, JAX above all, only when they run, so that
--help is there at once.
"""

import logging as std_logging
import os
import pathlib
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from experiments import config_files, help
from vae_jax import console
from vae_jax.errors import ConfigError, VAEJaxError, one_line
from vae_jax.paths import local_path

_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder of compiled programs, for a faster start; empty: none. By default"
    " JAX_COMPILATION_CACHE_DIR or ~/.cache/vae_jax/xla.",
)
_IMPORT = flags.DEFINE_multi_string(
    "import",
    [],
    "Name of a Python module with parts of your own, which it adds to the tables of"
    " vae_jax; may be given several times.",
)
# The flags that this module defines for a program are that program's, also in --help.
flags.disclaim_key_flags()
_PARTING_S = 3.0


def fail(message: object) -> NoReturn:
    """Prints one line and ends the program with status 1."""
    print(f"error: {one_line(str(message))}", file=sys.stderr)
    sys.exit(1)


def run(main: Callable[..., None], takes: str = "") -> None:
    """Parses the flags and calls main; a user's mistake is one line and status 1.

    Args:
        main: reads its flags, and takes what stands beside them as arguments.
        takes: what that is, such as "FOLDER ..."; empty: nothing.
    """
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler().python_handler
    handler.setFormatter(console.PlainFormatter())
    handler.setStream(console.LogStream())
    # At level INFO, JAX logs every kind of device that it has not found.
    std_logging.getLogger("jax").setLevel(std_logging.WARNING)
    std_logging.getLogger("jax._src.xla_bridge").addFilter(_is_not_about_cuda)

    def guarded(argv: list[str]) -> None:
        import jax

        if argv[1:] and not takes:
            fail(f"unexpected argument {argv[1]!r}: flags start with --")
        _keep_compiled_programs()
        try:
            _import_parts()
            main(*argv[1:])
        except VAEJaxError as error:
            fail(error)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            from vae_jax.runs.memory import out_of_memory_line  # slow to import

            if (line := out_of_memory_line(error)) is None:
                raise
            fail(line)
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            fail(f"{where}{error.strerror or error}")
        except (RuntimeError, AssertionError):
            if _has_devices():
                raise
            fail(
                f"JAX_PLATFORMS={jax.config.jax_platforms}: JAX finds no such device;"
                " unset it to use what there is"
            )

    def stoppable(argv: list[str]) -> None:
        from vae_jax.runs import signals

        try:
            with signals.handled():
                try:
                    guarded(argv)
                finally:
                    signals.ignore()
        except signals.Interrupted as stop:
            print(stop, file=sys.stderr)
            sys.exit(stop.status)

    def parse(argv: list[str]) -> list[str]:
        try:
            argv = config_files.resolved(argv)
            if (rest := help.asked(argv)) is None:
                return flags.FLAGS(argv)
            flags.FLAGS(rest)
        except (AttributeError, KeyError, TypeError, ValueError, flags.Error) as error:
            is_missing = isinstance(error, AttributeError | KeyError)
            fail(config_files.misnamed(argv, is_missing) or _one_line(error))
        except Exception as error:  # a config file is code
            given = next((a for a in argv[::-1] if a.startswith("--config=")), "")
            fail(f"{given}: the config file fails with {type(error).__name__}: {error}")
        _show(help.text(takes))
        sys.exit(0)

    app.run(_ending(stoppable), flags_parser=parse)


def check_apart(out: pathlib.Path, what: str, path: str | pathlib.Path) -> None:
    """Refuses an --out that is the file of an input, which it would replace.

    Args:
        out: value of --out.
        what: the input, such as the flag that names it.
        path: its file, or none.

    Raises:
        ConfigError: names the input.
    """
    if out.exists() and os.path.exists(path) and out.samefile(path):
        raise ConfigError(f"--out={out}: is the file of {what}: name another")


def _show(text: str) -> None:
    """Prints a long text, of which a reader such as `head` may take a part only."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_not_about_cuda(record: std_logging.LogRecord) -> bool:
    """Leaves out JAX's line on an unused GPU, in place of which `announce` has one."""
    return "CUDA-enabled jaxlib is not installed" not in record.getMessage()


def _import_parts() -> None:
    """Imports what --import names, and notes it in the config of the program."""
    if not _IMPORT.value:
        return
    from vae_jax.runs.imported import import_parts  # slow to import

    if "" not in sys.path:
        sys.path.insert(0, "")  # the current folder, which a command does not look into
    import_parts(_IMPORT.value)
    config = flags.FLAGS["config"].value if "config" in flags.FLAGS else None
    if config is not None:
        names = [*config.get("imports", ()), *_IMPORT.value]
        with config.unlocked():
            config.imports = tuple(dict.fromkeys(names))


def _ending(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """On an error, exits soon instead of waiting for minutes in threads of JAX.

    Threads of a failed save wait for five minutes, and so does JAX's shutdown barrier,
    for other processes that may be waiting for this one.
    """

    def ending(argv: list[str]) -> None:
        try:
            main(argv)
        except BaseException as error:
            status = error.code if isinstance(error, SystemExit) else 1
            timer = threading.Timer(_PARTING_S, _leave, [status])
            timer.daemon = True
            timer.start()
            raise

    return ending


def _leave(status: object) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _has_devices() -> bool:
    """Whether JAX has a device; any exception counts as none."""
    import jax

    try:
        return bool(jax.devices())
    except Exception:  # even a bare AssertionError
        return False


def _keep_compiled_programs() -> None:
    """Turns on JAX's cache of compiled programs, if its folder can be written."""
    import jax

    from vae_jax.data.array_cache import user_cache_dir

    folder = _CACHE.value
    try:
        if folder is None:
            # JAX has read JAX_COMPILATION_CACHE_DIR.
            folder = jax.config.jax_compilation_cache_dir or user_cache_dir() / "xla"
        if folder:
            folder = str(local_path(folder))
            os.makedirs(folder, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ConfigError) as error:
        logging.info("compiled programs are not cached: %s", error)
        folder = ""
    jax.config.update("jax_compilation_cache_dir", folder or None)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


_CLEARER = {
    r"^(?:Key )?['\"](\w+)['\"](?: does not exist[^\n]*)?\n?": (
        r"the config has no field '\1'. "
    ),
    r"Error whilst parsing config file:.*\n(?=\S)": "",  # a trace
    r"invalid literal for int.*": "must be a whole number",
    r"could not convert string to float.*": "must be a number",
    r"\('Non-boolean.*": "must be true or false",
}


def _one_line(error: Exception) -> str:
    """The message for a user in an error of absl or ml_collections."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]  # ml_collections puts the useful one inside
    message = str(error.args[0]) if error.args else str(error)
    for pattern, clearer in _CLEARER.items():
        message = re.sub(pattern, clearer, message, flags=re.DOTALL)
    return " ".join(message.split())


class _PathParser(flags.ArgumentParser):
    """A path on this machine; `~` stands for the home folder."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> pathlib.Path | str:
        return local_path(argument) if argument else argument

    def flag_type(self) -> str:
        return "path"


def define_path(
    name: str, default: str | None, help: str
) -> flags.FlagHolder[pathlib.Path]:
    """A flag whose value is a path on this machine."""
    return flags.DEFINE(_PathParser(), name, default, help)


def define_config() -> flags.FlagHolder[ConfigDict]:
    """The flag --config, whose fields can be set as --config.a.b=value."""
    return config_flags.DEFINE_config_file(
        "config",
        None,
        "Name of a config below, as mnist for configs/mnist.py, or a path to a file of"
        " your own.",
        lock_config=True,
    )


def required(**values: object) -> None:
    """Raises a ConfigError for the first flag that has no value."""
    for name, value in values.items():
        if not value:
            raise ConfigError(f"--{name} is missing")
