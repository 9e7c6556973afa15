"""``kinet-pipeline demo``: everything, on synthetic videos, in a few minutes."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pipeline.options import debug_option, json_option, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.demo import DemoReport


@click.command()
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
@workspace_option
@debug_option
def demo(seed: int, as_json: bool, workspace: Workspace) -> None:
    """Run the whole pipeline on the synthetic data set: teachers, labels, students, scores."""
    from pipeline.demo import DemoSettings, run_demo, run_in_this_process

    report = run_demo(workspace, DemoSettings(seed=seed), run_in_this_process, lambda line: click.echo(line, err=True))
    click.echo(json.dumps(asdict(report)) if as_json else _as_table(report, workspace))


def _as_table(report: "DemoReport", workspace: Workspace) -> str:
    """Return the short table that the demo ends with."""
    rows = []
    for kind, scores in report.teachers.items():
        rows.append(
            (
                f"{kind} teacher",
                ", ".join(f"{name} {scores[name]:.2f}" for name in ("mask_iou", "top1", "top5") if name in scores),
            )
        )
    label = report.label
    rows.append(
        ("labelled", f"{label['frames']:,} frames of {label['ok']} videos, {label['frames_per_sec']:.1f} frames/s")
    )
    for model, scores in report.students.items():
        top1_percent = 100 * scores["top1"]
        rows.append((f"student {model}", f"top-1 {top1_percent:.1f} % of {scores['videos']} test videos"))
    rows.append(("time", ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items())))
    rows.append(("teachers in", str(workspace.teacher_path("human").parent)))
    rows.append(("labels in", str(workspace.shards_dir("synthetic"))))
    rows.append(("students in", str(workspace.run_dir("demo-kinet").parent)))
    lines = [f"{name:<16}{text}" for name, text in rows]
    note = "Synthetic videos show that everything works; they say nothing about accuracy on real ones."
    return "\n".join(["", *lines, "", note])
