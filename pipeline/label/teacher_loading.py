"""Making teachers from the names of their factories."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from pipeline.errors import TeacherError
from pipeline.label.settings import TeacherSettings
from pipeline.label.teacher import HumanTeacherProtocol, SceneTeacherProtocol


class Teachers(NamedTuple):
    """Both teachers on their device."""

    human: HumanTeacherProtocol
    scene: SceneTeacherProtocol
    device: torch.device


def load_teachers(settings: TeacherSettings, device: torch.device, precision: str) -> Teachers:
    """Make both teachers by their factories; raise TeacherError where a factory or its file is not to be had."""
    human = _factory(settings.human_factory)(settings.human_path, device=device, precision=precision)
    scene = _factory(settings.scene_factory)(settings.scene_path, device=device, precision=precision)
    return Teachers(human, scene, device)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Resolve "auto": bfloat16 on a GPU, float32 elsewhere."""
    return ("bfloat16" if device.type == "cuda" else "float32") if wanted == "auto" else wanted


def describe_teacher(teacher: HumanTeacherProtocol | SceneTeacherProtocol) -> str:
    """Return the ``name sha256:<hex>`` that stands in the shards."""
    return f"{teacher.name} sha256:{teacher.sha256}"


def _factory(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if not function_name:
        raise ValueError(f"teacher {name!r}: give the factory as module:function")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise TeacherError(f"teacher {name}: {error}; give an importable module:function") from error
    return factory
