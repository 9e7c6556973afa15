"""The command line's entry: a table of commands, each loaded only when it is called."""

import importlib
import sys
from typing import Any

import click

from pipeline.errors import InterruptedRun, KinetError, OptionError
from pipeline.malloc import keep_freed_memory
from pipeline.options import debug_option, workspace_option
from pipeline.processors import let_waiting_threads_sleep

# Each command's name, where it stands, and its help line: `--help` imports none of them.
COMMANDS = {
    "demo": ("pipeline.commands.demo:demo", "Run the whole pipeline on the synthetic data set."),
    "manifest": ("pipeline.commands.manifest:manifest", "List the videos of a data set and check them."),
    "teacher": ("teachers.commands.teacher:teacher", "Import, train and score the two teachers."),
    "label": ("pipeline.commands.label:label", "Stage one: run both teachers over every frame; resumes."),
    "estimate": ("pipeline.commands.estimate:estimate", "Label a sample, then forecast hours, GPU-hours and bytes."),
    "retry": ("pipeline.commands.retry:retry", "Try quarantined or partial videos again; the others stay."),
    "status": ("pipeline.commands.status:status", "Say what is labelled, quarantined and missing."),
    "verify": ("pipeline.commands.verify:verify", "Check every shard against its receipt and the plan."),
    "extract-flow": ("pipeline.commands.extract_flow:extract_flow", "Write the optical flow of every frame; resumes."),
    "check-labels": (
        "student.commands.check_labels:check_labels",
        "Compare labels with what the teachers see in clips as training cuts them.",
    ),
    "train-student": ("student.commands.train_student:train_student", "Stage two: train KINet or TSN."),
    "evaluate": ("student.commands.evaluate:evaluate", "Score a run with 25 segments and 10 crops."),
    "fuse": ("student.commands.fuse:fuse", "Add up the scores of several runs."),
    "export": ("student.commands.export:export", "Write a run's student for other programs."),
    "ablate": ("student.commands.ablate:ablate", "Run the rows of the paper's Tables 1-4 and tabulate them."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="kinet-pipeline")
@workspace_option
@debug_option
def cli(**_: Any) -> None:
    """Distil human parsing and scene labels from two teachers, then train KINet for action recognition."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a KinetError becomes one line on stderr and its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    let_waiting_threads_sleep()
    keep_freed_memory()
    try:
        cli.main(args=arguments, prog_name="kinet-pipeline", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("kinet-pipeline: interrupted", err=True)
        sys.exit(130)
    except KinetError as error:
        if "--debug" in arguments:
            raise
        click.echo(f"kinet-pipeline: {' '.join(str(error).split())}", err=True)
        sys.exit(_exit_code(error))


def _exit_code(error: KinetError) -> int:
    """130 or 143 after a signal, 2 for a wrong option, else 1."""
    if isinstance(error, InterruptedRun):
        return error.exit_code
    return 2 if isinstance(error, OptionError) else 1


if __name__ == "__main__":
    main()
