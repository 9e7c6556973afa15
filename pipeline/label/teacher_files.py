"""Telling, without loading them, whether the teachers' files are the same as before."""

import hashlib

from pipeline.label.settings import TeacherSettings
from pipeline.store import sha256_of_file


def digest_teacher_files(settings: TeacherSettings) -> str | None:
    """Hash what makes the labels: factories, options, weights files and side files where they are.

    None where a weights file is missing. The factories' own code is not looked at, nor the precision: what "auto"
    comes to is known once the teachers are loaded, and stands in the plan.
    """
    parts = []
    for kind in settings.kinds:
        weights_path = settings.human_path if kind == "human" else settings.scene_path
        parts.append(settings.human_factory if kind == "human" else settings.scene_factory)
        try:
            parts.append(sha256_of_file(weights_path))
        except FileNotFoundError:
            return None
        try:
            parts.append(sha256_of_file(weights_path.with_suffix(".json")))
        except FileNotFoundError:
            parts.append("no side file")
    if settings.mask_median > 1:
        parts.append(f"mask median {settings.mask_median}")
    if settings.compiled:
        parts.append("compiled")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
