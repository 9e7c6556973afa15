"""What several benchmarks run on: a list of videos, and teachers that are light or as heavy as the paper's."""

import os
import sys
from pathlib import Path

from manifests import VideoRecord
from pipeline.label.settings import TeacherSettings

BENCHMARKS_DIR = Path(__file__).resolve().parent
VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".webm", ".mov"}


def find_videos(videos_dir: Path, limit: int) -> list[VideoRecord]:
    """List at most `limit` videos below a folder, evenly from its sorted paths; exits with a message where none are."""
    paths = sorted(path for path in videos_dir.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        sys.exit(f"{videos_dir}: no videos; give --videos DIR")
    chosen = paths[:: max(1, len(paths) // limit)][:limit]
    return [VideoRecord(f"{i:05d}-{path.stem}", path, "train", 0, "any") for i, path in enumerate(chosen)]


def make_teachers(kind: str, folder: Path) -> TeacherSettings:
    """Write teacher files: "light" ones, or "heavy": PSPNet-DenseNet121 and ResNet-152 with random weights.

    What a network says does not change what it costs.
    """
    human_path, scene_path = folder / "human.safetensors", folder / "scene.safetensors"
    if kind == "light":
        human_path.write_text("light")
        scene_path.write_text("light")
        # Ray's workers inherit it.
        os.environ["PYTHONPATH"] = f"{BENCHMARKS_DIR}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        return TeacherSettings(
            human_path, scene_path, "light_teachers:load_human", "light_teachers:load_scene", precision="float32"
        )
    import torch

    from teachers.architectures import NUM_LIP_CLASSES, build_network, default_preprocessing
    from teachers.cards import TeacherCard
    from teachers.kinds import Kind
    from teachers.storage import save_teacher

    torch.manual_seed(0)
    for teacher, architecture, classes, path in (
        (Kind.HUMAN, "pspnet_densenet121", NUM_LIP_CLASSES, human_path),
        (Kind.SCENE, "resnet152", 365, scene_path),
    ):
        network = build_network(teacher, architecture, classes)
        card = TeacherCard(teacher, architecture, classes, default_preprocessing(teacher), "random weights")
        save_teacher(network, card, path)
    return TeacherSettings(human_path, scene_path)
