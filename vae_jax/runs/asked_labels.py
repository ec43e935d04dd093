"""The labels that a user asks a run for, as the numbers that its model is given."""

from collections.abc import Iterable, Sequence

import numpy as np

from vae_jax.errors import ConfigError

Labels = int | Sequence[int] | None
MOST_SHOWN = 20  # labels that a line lists


def in_turn(known: Sequence[int], label: Labels, num: int) -> np.ndarray:
    """The numbers of the classes of some labels, which are taken in turn.

    Args:
        known: the labels of a run's data, by the number of their class.
        label: a label, or several; None: all.
        num: how many numbers.

    Returns:
        Int32 [num].

    Raises:
        ConfigError: there is no such label.
    """
    asked = known if label is None else as_list(label)
    return np.resize(class_numbers(known, asked, "label"), num)


def refuse_label(label: Labels, workdir: object) -> None:
    """Raises if a run whose model can't be given a label is asked for some.

    Raises:
        ConfigError: names the run.
    """
    if label is not None:
        asked = _listed(list(dict.fromkeys(as_list(label))))
        raise ConfigError(
            f"label={asked}: the draws of {workdir} are not of a label, for which a"
            " model is trained with model.condition=label or model.name=m2"
        )


def as_list(label: int | Sequence[int]) -> list[int]:
    """A label, or several, as a list.

    Raises:
        ConfigError: there is none.
    """
    labels = np.atleast_1d(label).tolist()
    if not labels:
        raise ConfigError("label: is empty; must be one label or several")
    return labels


def whole_numbers(texts: Sequence[str], name: str) -> list[int]:
    """Labels as a user writes them.

    Args:
        texts: a number each.
        name: what one of them is called in the message.

    Raises:
        ConfigError: one is no whole number, or there is none.
    """
    if not texts:
        raise ConfigError(f"{name}=: is empty; must be whole numbers")
    try:
        return [int(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"{name}={','.join(texts)}: must be whole numbers") from error


def class_numbers(known: Sequence[int], asked: Iterable[int], name: str) -> np.ndarray:
    """The numbers of the classes of labels.

    Args:
        known: the labels of a run's data, by the number of their class.
        asked: labels among them.
        name: what one of them is called in the message.

    Returns:
        Int32 [n].

    Raises:
        ConfigError: there is no such label.
    """
    numbers = {label: number for number, label in enumerate(known)}
    found = []
    for label in asked:
        if label not in numbers:
            raise ConfigError(f"{name}={label}: must be one of {_listed(known)}")
        found.append(numbers[label])
    return np.array(found, np.int32)


def _listed(labels: Sequence[int]) -> str:
    """Labels as a line has room for them."""
    more = f", ..., {labels[-1]}" if len(labels) > MOST_SHOWN else ""
    return ", ".join(map(str, labels[:MOST_SHOWN])) + more
