"""`kinet-pipeline export`: a run's student for other programs."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.options import debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace
from student.commands.options import checkpoint_option


@click.command("export")
@click.argument("run", callback=require_name)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["safetensors", "onnx", "torchscript"]),
    required=True,
    help="Named weights, or a whole program.",
)
@click.option(
    "--output", "output_dir", type=click.Path(path_type=Path), metavar="DIR", help="[default: the run's export/]"
)
@checkpoint_option
@json_option
@workspace_option
@debug_option
def export(
    workspace: Workspace, as_json: bool, run: str, file_format: str, output_dir: Path | None, checkpoint: str
) -> None:
    """Write RUN's student without human decoder and scene classifier, and compare its logits with the full one's."""
    from student.export import export_run

    report = export_run(
        workspace, run, file_format, output_dir=output_dir, which="best" if checkpoint == "best" else "last"
    )
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    click.echo(f"{report.path}: {report.parameters:,} parameters (in training {report.full_parameters:,})")
    click.echo(f"largest difference of a logit from the full student: {report.max_logit_difference:.2e}")
