"""Telling, without loading them, whether the teachers' files are the same as before."""

import hashlib

from pipeline.label.settings import TeacherSettings
from pipeline.store import sha256_of_file


def digest_teacher_files(settings: TeacherSettings) -> str | None:
    """Hash what makes the teachers: factories, precision, weights files and side files; None where one is missing."""
    parts = [settings.precision]
    for kind in settings.kinds:
        weights_path = settings.human_path if kind == "human" else settings.scene_path
        side_path = weights_path.with_suffix(".json")
        try:
            parts += [settings.human_factory if kind == "human" else settings.scene_factory]
            parts += [sha256_of_file(path) for path in (weights_path, side_path)]
        except FileNotFoundError:
            return None
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
