"""Errors that a user can mend: each carries one line that says how."""


def one_line(text: str) -> str:
    """The text with line breaks, control codes and the like escaped as `repr` does.

    Names of files, arrays and classes come from outside: printed as they are, they
    could spread over several lines or steer a terminal.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class VAEJaxError(Exception):
    """Base of all errors below; the programs print its message and exit with 1."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(VAEJaxError, ValueError):
    """A config field, flag or argument has a value that makes no sense."""


class ContractError(VAEJaxError, ValueError):
    """A model, an objective and a batch don't fit together, as their shapes say.

    Raised while JAX traces a step, so a compiled step pays nothing for it.
    """


class DataError(VAEJaxError, ValueError):
    """A data set is missing, empty, damaged or of the wrong shape or range."""


class CheckpointError(VAEJaxError, RuntimeError):
    """No checkpoint can be restored, or it does not fit the model."""


class StorageError(VAEJaxError, OSError):
    """A file can't be written: no room, no permission, or a faulty disk."""


class NonFiniteLossError(VAEJaxError, FloatingPointError):
    """The training loss became NaN or infinite; `step` says when."""

    def __init__(self, step: int, value: float, saved_step: int | None = None) -> None:
        """Says what is left of the run.

        Args:
            step: first step whose loss is not finite.
            value: the loss there.
            saved_step: step of the newest checkpoint, None if there is none yet.
        """
        self.step = step
        kept = (
            "no checkpoint was saved before"
            if saved_step is None
            else f"the checkpoint of step {saved_step} is kept"
        )
        super().__init__(
            f"the loss became {value} at step {step}; {kept}."
            " Try a smaller optimizer.learning_rate or optimizer.clip_norm"
        )
