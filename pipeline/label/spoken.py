"""A forecast's figures for people: three digits, in the unit of their size."""

from collections.abc import Sequence

from pipeline.label.forecast import Figure

# Name and size of each unit, the smallest first.
Units = Sequence[tuple[str, float]]

TIME_UNITS: Units = (("seconds", 1 / 3600), ("minutes", 1 / 60), ("hours", 1.0))
"""Of figures in hours."""

BYTE_UNITS: Units = (("bytes", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12))

COUNT_UNITS: Units = (("", 1), ("million", 1e6))


def speak_figure(figure: Figure, units: Units, *, of: str = "") -> str:
    """Write an estimate and its range, if any, in the largest unit of which it is one or more, else in the smallest.

    Args:
        figure: in the unit of size 1.
        units: to choose from.
        of: put before the unit's name: "GPU-" for GPU-hours.
    """
    name, size = next(((name, size) for name, size in reversed(units) if figure.estimate >= size), units[0])
    text = _three_digits(figure.estimate / size)
    if figure.low is not None and figure.high is not None:
        text += f" ({_three_digits(figure.low / size)} to {_three_digits(figure.high / size)})"
    return f"{text} {of}{name}".rstrip()


def _three_digits(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.10g}"
