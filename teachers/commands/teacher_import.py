"""`kinet-pipeline teacher import`: circulating checkpoints to ours."""

import json
from pathlib import Path

import click

from pipeline.errors import option_errors
from pipeline.options import debug_option, json_option, workspace_option
from pipeline.workspace import Workspace
from teachers.commands.cards import card_lines
from teachers.commands.options import (
    Numbers,
    input_size_option,
    kind_argument,
    license_option,
    replace_option,
    source_option,
)
from teachers.kinds import Kind

FORMATS = ("auto", "safetensors", "pytorch", "torch7", "caffe")
MAX_LISTED = 6


@click.command("import")
@kind_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(FORMATS), default="auto", show_default=True)
@click.option("--architecture", metavar="NAME", help="Where the file does not tell; any classifier of torchvision.")
@click.option("--classes", type=click.IntRange(min=2), help="Width of the head.  [default: told by the file, 20, 365]")
@click.option(
    "--person-classes", type=Numbers(int), help="Human: which classes are people, for class lists other than LIP's."
)
@input_size_option
@click.option(
    "--mean-image", "mean_image_path", type=click.Path(path_type=Path), help="Caffe: .binaryproto or .npy, BGR."
)
@click.option("--mean-values", type=Numbers(float, 3), help="Caffe: mean by channel, B,G,R.  [default: Places365's]")
@source_option
@license_option
@replace_option
@json_option
@workspace_option
@debug_option
def import_(
    workspace: Workspace,
    as_json: bool,
    kind: Kind,
    file: Path,
    file_format: str,
    architecture: str | None,
    classes: int | None,
    person_classes: tuple[int, ...] | None,
    input_size: tuple[int, int] | None,
    mean_image_path: Path | None,
    mean_values: tuple[float, float, float] | None,
    source: str | None,
    license: str | None,
    replace: bool,
) -> None:
    """Check a checkpoint and write it into the workspace.

    Reads our own files, PyTorch state dicts (Places365's and torchvision's classifiers, the public LIP parser, semseg's
    PSPNet), Torch7's ResNets, and Caffe's ResNets and VGG-16. Code in a checkpoint is refused, never executed.
    """
    from teachers.formats.detect import FileFormat
    from teachers.importing import ImportRequest, import_teacher

    with option_errors():
        request = ImportRequest(
            file_format=None if file_format == "auto" else FileFormat(file_format),
            architecture=architecture,
            classes=classes,
            person_classes=person_classes,
            input_size=input_size,
            mean_image_path=mean_image_path,
            mean_values=mean_values,
            source=source,
            license=license,
            replace=replace,
        )
    report = import_teacher(kind, file, workspace.teacher_path(kind), request)
    path = workspace.teacher_path(kind)
    if as_json:
        extra = {"path": str(path), "format": report.file_format, "tensors": report.tensors}
        extra |= {"dropped": list(report.dropped), "notes": list(report.notes)}
        click.echo(json.dumps(report.card.to_fields() | extra))
        return
    lines = card_lines(report.card, path)
    lines.append(f"  taken    {report.tensors} tensors of a {report.file_format} file; a forward pass works")
    if report.dropped:
        more = f" and {len(report.dropped) - MAX_LISTED} more" if len(report.dropped) > MAX_LISTED else ""
        lines.append(f"  dropped  {', '.join(report.dropped[:MAX_LISTED])}{more}")
    click.echo("\n".join(lines + [f"  note     {note}" for note in report.notes]))
