"""The whole pipeline on the synthetic data set: the same commands a user would type, one after the other.

Each step is a command line, shown before it runs, so that the demo is also a worked example. What is already there is
not made again: a demo that was ended goes on where it was.
"""

import contextlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.synthetic import SyntheticSpec, write_lip_images, write_places365_images
from pipeline.workspace import Workspace

DATASET = "synthetic"
STUDENTS = ("kinet", "tsn")

# Runs one command line and returns the JSON object it prints.
RunCommand = Callable[[Sequence[str]], dict[str, Any]]


@dataclass(frozen=True)
class DemoSettings:
    """How large the demo is; the defaults take under six minutes on two cores.

    Attributes:
        videos_per_class, test_videos_per_class: synthetic clips.
        num_teacher_images, num_teacher_val_images: pictures that each teacher learns from and is scored on.
        teacher_input: height x width of the teachers' input.
        human_teacher_minutes, scene_teacher_minutes: bounds on the teachers' training.
        student_input: side of the students' input.
        student_epochs: of each student.
        seed: of everything.
    """

    videos_per_class: int = 6
    test_videos_per_class: int = 3
    num_teacher_images: int = 240
    num_teacher_val_images: int = 48
    teacher_input: str = "64x88"
    human_teacher_minutes: float = 1.1
    scene_teacher_minutes: float = 0.7
    student_input: int = 64
    student_epochs: int = 20
    seed: int = 0


@dataclass
class DemoReport:
    """What the demo measured.

    Attributes:
        teachers: scores of the "human" and the "scene" teacher, by name.
        label: the JSON of ``label``.
        students: the JSON of ``evaluate``, by model.
        seconds: by step.
    """

    teachers: dict[str, dict[str, float]] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    students: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    workspace: Workspace, settings: DemoSettings, run_command: RunCommand, announce: Callable[[str], None]
) -> DemoReport:
    """Run every step; see the module's docstring.

    Args:
        run_command: runs a command line (without the program's name).
        announce: shows a line to the user.
    """
    report = DemoReport()

    def step(name: str, arguments: Sequence[str]) -> dict[str, Any]:
        announce(f"$ kinet-pipeline {' '.join(arguments)}")
        started = time.monotonic()
        result = run_command([*arguments, "--workspace", str(workspace.root), "--json"])
        report.seconds[name] = time.monotonic() - started
        return result

    def done(name: str) -> None:
        announce(f"# {name}: already there")

    build = ["manifest", "build", DATASET, "--seed", str(settings.seed)]
    build += ["--videos-per-class", str(settings.videos_per_class)]
    build += ["--test-videos-per-class", str(settings.test_videos_per_class)]
    step("manifest", build)
    for kind, arguments in _teacher_steps(workspace, settings).items():
        if workspace.teacher_path(kind).with_suffix(".json").exists():
            done(f"{kind} teacher")
        else:
            begun = workspace.run_dir(f"teacher-{kind}").exists()
            step(f"{kind} teacher", [*arguments, "--resume"] if begun else arguments)
        card = json.loads(workspace.teacher_path(kind).with_suffix(".json").read_text())
        report.teachers[kind] = next((entry["scores"] for entry in reversed(card["evaluations"])), {})
    report.label = step("label", ["label", "--dataset", DATASET, "--videos-per-shard", "8"])
    step("verify", ["verify", "--dataset", DATASET])
    for model in STUDENTS:
        train = ["train-student", "--dataset", DATASET, "--recipe", "small", "--model", model, "--backbone", "resnet18"]
        train += ["--run", f"demo-{model}", "--set", f"epochs={settings.student_epochs}", "--set", "learning_rate=0.01"]
        train += ["--set", f"input_size={settings.student_input}", "--set", f"seed={settings.seed}"]
        train += ["--cache-mib", "512", "--loader-workers", "1"]
        if workspace.run_dir(f"demo-{model}").exists():
            train.append("--resume")
        step(f"train {model}", train)
    for model in STUDENTS:
        evaluate = ["evaluate", f"demo-{model}", "--dataset", DATASET, "--split", "test"]
        report.students[model] = step(f"evaluate {model}", [*evaluate, "--segments", "8", "--crops", "1"])
    return report


def _teacher_steps(workspace: Workspace, settings: DemoSettings) -> dict[str, list[str]]:
    """Draw the teachers' pictures, and return the command that trains each teacher."""
    spec = SyntheticSpec(seed=settings.seed)
    lip_dir, places_dir = workspace.videos_dir("synthetic-lip"), workspace.videos_dir("synthetic-places365")
    write_lip_images(lip_dir, spec, settings.num_teacher_images, settings.num_teacher_val_images)
    write_places365_images(places_dir, spec, settings.num_teacher_images, settings.num_teacher_val_images)
    common = ["--input-size", settings.teacher_input, "--batch-size", "8", "--lr", "0.02"]
    common += ["--seed", str(settings.seed), "--max-minutes"]
    human = ["teacher", "train", "human", "--data", str(lip_dir), "--architecture", "pspnet_densenet121"]
    human += ["--classes", "2", *common, str(settings.human_teacher_minutes)]
    scene = ["teacher", "train", "scene", "--data", str(places_dir), "--architecture", "resnet152"]
    scene += [*common, str(settings.scene_teacher_minutes)]
    return {"human": human, "scene": scene}


def run_in_this_process(arguments: Sequence[str]) -> dict[str, Any]:
    """Run one command line here and return the JSON object that it prints."""
    from pipeline.cli import cli

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.main(args=list(arguments), prog_name="kinet-pipeline", standalone_mode=False)
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result
