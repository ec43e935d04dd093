"""Values as text, one way for each purpose."""

import math

MISSING = "–"  # a value that there is not


def exact(value: object) -> str:
    """A config value in as few characters as tell it from all others of its field."""
    if value is None:
        return MISSING
    if isinstance(value, list | tuple):
        items = ", ".join(map(exact, value))
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, float) and float(short := f"{value:g}") == value:
        return short
    return str(value)


def few_digits(value: float | None, digits: int = 4) -> str:
    """A measured number, rounded; whole and large ones keep all before the point.

    Args:
        value: the number; None stands for one that is not defined.
        digits: how many count.
    """
    if value is None:
        return MISSING
    is_large = abs(value) >= 10**digits - 0.5  # or is, once it is rounded
    if abs(value) < 1e9 and (float(value).is_integer() or is_large):
        return f"{value:,.0f}".replace("-", "−")
    mantissa, e, exponent = f"{value:.{digits}g}".replace("-", "−").partition("e")
    return mantissa + (f"e{exponent[0]}{exponent[1:].lstrip('0')}" if e else "")


def with_error(value: float, error: float) -> tuple[str, str]:
    """A number and its standard error, to the digits that the error leaves.

    The error keeps two digits from 0.100 to 0.354, and one from there on, which is the
    rule of the Particle Data Group: −112.0039 with 0.082 is −112.00 and 0.08.

    Args:
        value: the number.
        error: its standard error, 0 or more.

    Returns:
        Both, with as many decimals.
    """
    if error <= abs(value) * 1e-9:  # of numbers that are all alike, but for rounding
        return few_digits(value), "0"
    size = max(abs(value), error)
    power = math.floor(math.log10(size)) if size < 1e-3 else 0
    value, error = value / 10.0**power, error / 10.0**power
    exponent = math.floor(math.log10(error))
    decimals = (1 if error / 10.0**exponent < 3.55 else 0) - exponent
    end = f"e−{-power}" if power else ""

    def text(number: float) -> str:
        digits = f"{round(number, decimals):z,.{max(decimals, 0)}f}"
        return digits.replace("-", "−") + end

    return text(value), text(error)
