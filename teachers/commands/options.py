"""Options and arguments that the teacher commands share."""

from pathlib import Path
from typing import Any

import click

from teachers.kinds import Kind

LAYOUTS = {Kind.HUMAN: ("lip", "folders"), Kind.SCENE: ("places365", "file-list")}


class InputSize(click.ParamType):
    """Height and width, written ``128x168``."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, separator, width = str(value).partition("x")
        if not (separator and height.isdecimal() and width.isdecimal()):
            self.fail(f"{value!r} is not a height and a width such as 128x168", param, ctx)
        return int(height), int(width)


class Numbers(click.ParamType):
    """Numbers with commas between them.

    Args:
        kind: int or float.
        count: how many; None for any number.
    """

    def __init__(self, kind: type[int] | type[float], count: int | None = None) -> None:
        self.kind = kind
        self.count = count
        self.name = ",".join("N" * count) if count else "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers with commas between them", param, ctx)
        if self.count and len(numbers) != self.count:
            self.fail(f"{value!r}: expected {self.count} numbers", param, ctx)
        return numbers


def read_kind(ctx: click.Context, param: click.Parameter, value: str | None) -> Kind | None:
    """Callback of arguments that name a kind of teacher."""
    return None if value is None else Kind(value)


kind_choice = click.Choice([kind.value for kind in Kind])
kind_argument = click.argument("kind", type=kind_choice, callback=read_kind)
data_option = click.option(
    "--data",
    "data_dirs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A data set's folder; repeat for several.",
)
layout_option = click.option(
    "--layout",
    type=click.Choice((*LAYOUTS[Kind.HUMAN], *LAYOUTS[Kind.SCENE])),
    help="How the images lie.  [default: seen from the folder]",
)
max_val_option = click.option(
    "--max-val-images", type=click.IntRange(min=1), help="Score on this many held-out images.  [default: all]"
)
input_size_option = click.option(
    "--input-size", type=InputSize(), help="Of the network.  [default: 256x256, scene 224x224]"
)
source_option = click.option(
    "--source",
    metavar="TEXT",
    help="Where the weights come from, for the card.  [default: file or data]",
)
license_option = click.option("--license", metavar="TEXT", help="Of the weights, for the card.")
replace_option = click.option(
    "--replace", is_flag=True, help="Take the place of the teacher that is there; it is kept beside as .previous."
)


def check_layout(kind: Kind, layout: str | None) -> None:
    """Refuse a layout that belongs to the other kind of teacher."""
    if layout is not None and layout not in LAYOUTS[kind]:
        raise click.UsageError(f"--layout {layout}: a {kind} teacher has {' or '.join(LAYOUTS[kind])}")
