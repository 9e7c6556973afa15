"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from manifests.names import check_name
from pipeline.workspace import WORKSPACE_VARIABLE, Workspace

_TEACHERS = ("human", "scene")

F = TypeVar("F", bound=Callable[..., Any])


def _keep_workspace(ctx: click.Context, param: click.Parameter, value: str | None) -> Workspace:
    """Take the value given nearest to the command: after the subcommand, before it, the variable, the default."""
    chosen = value or ctx.find_root().meta.get("kinet.workspace")
    ctx.find_root().meta["kinet.workspace"] = chosen
    return Workspace.locate(chosen)


def require_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback of options and arguments that name a data set, a split or a run."""
    if value is None:
        return None
    try:
        return check_name(f"{param.name}", value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def require_factory(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback of options that name a teacher's factory."""
    if value is None:
        return None
    module, _, function = value.partition(":")
    if not module or not function:
        raise click.BadParameter(f"{value!r} is no MODULE:FUNCTION, such as teachers.human:load", ctx=ctx, param=param)
    return value


def workspace_option(command: F) -> F:
    """Add ``--workspace DIR|URL``, passed on as a `Workspace`; it may stand before or after the subcommand."""
    return click.option(
        "--workspace",
        metavar="DIR|URL",
        callback=_keep_workspace,
        help="Folder of manifests, teachers, shards and runs, or their place in a store (s3://bucket/path).  "
        f"[default: ${WORKSPACE_VARIABLE} or ./kinet-workspace]",
    )(command)


def debug_option(command: F) -> F:
    """Add ``--debug``, which `main` looks for itself."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a fault.")(command)


def dataset_option(command: F) -> F:
    """Add the required ``--dataset NAME``."""
    return click.option(
        "--dataset",
        required=True,
        metavar="NAME",
        callback=require_name,
        help="Data set, as named by `manifest build`.",
    )(command)


def _parse_teachers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Turn "scene" into ("scene",) and "scene,human" into ("human", "scene")."""
    if value is None:
        return None
    named = {part.strip() for part in value.split(",")}
    if not named <= set(_TEACHERS):
        raise click.BadParameter(f"{value!r}: give human, scene or human,scene")
    return tuple(kind for kind in _TEACHERS if kind in named)


def teachers_option(command: F) -> F:
    """Add ``--teachers human,scene``, passed on as a tuple in this order, or None where it is not given."""
    return click.option(
        "--teachers",
        metavar="human,scene",
        callback=_parse_teachers,
        help="Whose labels: one teacher's have shards of their own.  [default: of both, or what there is]",
    )(command)


def flow_option(command: F) -> F:
    """Add ``--flow``, passed on as a flag."""
    return click.option("--flow", is_flag=True, help="The optical flow of `extract-flow`, not the labels.")(command)


def json_option(command: F) -> F:
    """Add ``--json``, passed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")(
        command
    )
