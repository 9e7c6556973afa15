"""How flow is to be made: the options of ``extract-flow``, and of ``estimate --flow``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from pipeline.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])


def flow_options(command: F) -> F:
    """Add ``--method`` and ``--quality``."""
    method = click.option(
        "--method",
        type=click.Choice(["tvl1", "tvl1-fast", "dis"]),
        default="tvl1",
        show_default=True,
        help="Flow: TV-L1 as in the papers, TV-L1 with fewer steps, or DIS, which is far faster.",
    )
    quality = click.option(
        "--quality",
        type=click.IntRange(1, 100),
        default=90,
        show_default=True,
        help="Flow: of the JPEG streams.",
    )
    return method(quality(command))


def refuse_flow_options() -> None:
    """Raise OptionError where one of `flow_options` was given to work on labels."""
    context = click.get_current_context()
    for name in ("method", "quality"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise OptionError(f"--{name} is of optical flow; give --flow too, or leave it out")
