"""`kinet-pipeline check-labels`: do cropped labels lie on their cropped frames?"""

import json
from dataclasses import asdict

import click

from pipeline.options import (
    dataset_option,
    debug_option,
    json_option,
    require_factory,
    require_name,
    workspace_option,
)
from pipeline.workspace import Workspace
from student.commands.options import recipe_options


@click.command("check-labels")
@dataset_option
@click.option("--split", metavar="NAME", default="train", show_default=True, callback=require_name)
@click.option("--fold", type=click.IntRange(min=1), default=1, show_default=True, help="Official split.")
@recipe_options
@click.option("--clips", type=click.IntRange(min=1), default=32, show_default=True, help="Videos to draw.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--human-teacher", default="teachers.human:load", show_default=True, callback=require_factory,
              metavar="MODULE:FUNCTION")  # fmt: skip
@click.option("--scene-teacher", default="teachers.scene:load", show_default=True, callback=require_factory,
              metavar="MODULE:FUNCTION")  # fmt: skip
@json_option
@workspace_option
@debug_option
def check_labels(
    workspace: Workspace,
    as_json: bool,
    dataset: str,
    split: str,
    fold: int,
    recipe: str | None,
    overrides: tuple[str, ...],
    clips: int,
    seed: int,
    human_teacher: str,
    scene_teacher: str,
) -> None:
    """Run the teachers on clips as training cuts them, and compare with the labels cut with them.

    Exit code 1 where the labels fit better in a wrong place than in their own.
    """
    from student.label_check import LabelCheckError
    from student.label_check_job import LabelCheckRequest
    from student.label_check_job import check_labels as run_check

    request = LabelCheckRequest(
        dataset=dataset,
        split=split,
        fold=fold,
        recipe=recipe,
        overrides=overrides,
        num_clips=clips,
        seed=seed,
        human_teacher=human_teacher,
        scene_teacher=scene_teacher,
    )
    report = run_check(workspace, request)
    faults = report.find_faults()
    click.echo(json.dumps({**asdict(report), "faults": faults}) if as_json else report.as_text())
    if faults:
        raise LabelCheckError(f"data set {dataset}: {'; '.join(faults)}; see kinet-pipeline verify --sample")
