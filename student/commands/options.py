"""Options that several of the student's commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])


def recipe_options(command: F) -> F:
    """Add ``--recipe`` (None where it is not given) and ``--set``, passed on as `overrides`."""
    recipe = click.option(
        "--recipe", metavar="NAME|FILE", help="kinetics400, ucf101, small, or a TOML file.  [default: kinetics400]"
    )
    change = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe; repeatable."
    )
    return recipe(change(command))


def views_options(command: F) -> F:
    """Add how videos are looked at in a test, ``--segments``, ``--crops``, and ``--max-missing``."""
    segments = click.option(
        "--segments", type=click.IntRange(min=1), default=25, show_default=True, help="Frames of a video."
    )
    crops = click.option(
        "--crops", type=click.Choice(["10", "3", "1"]), default="10", show_default=True, help="Crops of a frame."
    )
    max_missing = click.option(
        "--max-missing",
        type=click.FloatRange(0, 1),
        default=0.05,
        show_default=True,
        metavar="SHARE",
        help="Share of videos that may lack a score; above it exit 1.",
    )
    return segments(crops(max_missing(command)))


def refuse_views() -> None:
    """Raise UsageError where one of `views_options` is given to a command that will test nothing."""
    context = click.get_current_context()
    for name in ("segments", "crops", "max_missing"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is of the tests that --folds makes; give --folds too, or leave it out.")


def parse_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Turn "0,1,2" into numbers: the callback of options that name seeds or folds."""
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected numbers with commas between, found {value!r}", ctx, param) from error


def describe_missing(num_missing: int | None) -> str:
    """Say how many videos have no score; None is a number that nobody knows."""
    return "missing unknown" if num_missing is None else f"{num_missing or 'none'} missing"


def folds_option(command: F) -> F:
    """Add ``--folds``, passed on as a tuple of numbers, or None where it is not given."""
    return click.option(
        "--folds",
        "--splits",
        "folds",
        callback=parse_numbers,
        metavar="N,N",
        help="Several official splits, a run RUN-fold<N> for each, and the mean of their tests.",
    )(command)


def checkpoint_option(command: F) -> F:
    """Add ``--checkpoint``: the last, or the best in validation."""
    return click.option(
        "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Whose weights."
    )(command)


def loader_option(command: F) -> F:
    """Add ``--loader-workers``."""
    return click.option(
        "--loader-workers", type=click.IntRange(min=0), default=2, show_default=True, help="Reading processes."
    )(command)


def cache_option(command: F) -> F:
    """Add ``--cache-mib``."""
    return click.option(
        "--cache-mib", type=click.IntRange(min=0), default=0, show_default=True, help="Memory for short clips."
    )(command)


def address_option(command: F) -> F:
    """Add ``--address``."""
    return click.option(
        "--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]"
    )(command)
