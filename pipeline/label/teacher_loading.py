"""Making teachers from the names of their factories, and trying them on a few frames before any video is opened."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.errors import KinetError, TeacherError
from pipeline.label.settings import TeacherSettings
from pipeline.label.teacher import (
    NUM_SCENE_CLASSES,
    NUM_SCENE_LABELS,
    HumanTeacherProtocol,
    SceneLabels,
    SceneTeacherProtocol,
)
from pipeline.local_copies import local_copy
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

_TRIAL_FRAMES = 2


class Teachers(NamedTuple):
    """The teachers that label, on their device; None for the one that was not asked for."""

    human: HumanTeacherProtocol | None
    scene: SceneTeacherProtocol | None
    device: torch.device


def load_teachers(settings: TeacherSettings, device: torch.device, precision: str) -> Teachers:
    """Make the teachers by their factories and try each on two black frames.

    Raises:
        TeacherError: a factory or its file is not to be had, or what it makes does not follow the protocol.
    """
    human = scene = None
    if "human" in settings.kinds:
        human = make_human_teacher(settings.human_factory, settings.human_path, device, precision)
    if "scene" in settings.kinds:
        scene = make_scene_teacher(settings.scene_factory, settings.scene_path, device, precision)
    return Teachers(human, scene, device)


def compile_teachers(teachers: Teachers, settings: TeacherSettings, batch_size: int) -> None:
    """Let each teacher compile its network, for batches of one size, and try it on a black one.

    Raises:
        TeacherError: a teacher cannot be compiled.
    """
    frames_BHWC = _black_frames(teachers.device, batch_size)
    if teachers.human is not None:
        with _compiling(settings.human_factory, teachers.human):
            ask_for_masks(settings.human_factory, teachers.human, frames_BHWC)
    if teachers.scene is not None:
        with _compiling(settings.scene_factory, teachers.scene):
            ask_for_scenes(settings.scene_factory, teachers.scene, frames_BHWC)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Resolve "auto": bfloat16 where the GPU or the processor computes in it, float32 where it would be emulated."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if has_bfloat16 else "float32"


def describe_teachers(teachers: Teachers) -> dict[str, str]:
    """Return what stands in the plan of each teacher: ``name sha256:<hex>`` and its preprocessing."""
    return {
        name: text
        for kind, teacher in (("human", teachers.human), ("scene", teachers.scene))
        if teacher is not None
        for name, text in (
            (f"{kind}_teacher", f"{teacher.name} sha256:{teacher.sha256}"),
            (f"{kind}_preprocessing", str(teacher.preprocessing)),
        )
    }


def make_human_teacher(name: str, weights_path: Path, device: torch.device, precision: str) -> HumanTeacherProtocol:
    """Make a human teacher by its factory's ``module:function`` and try it on two black frames.

    Raises:
        TeacherError: there is no factory, it fails, or what it makes does not follow the protocol.
    """
    teacher: HumanTeacherProtocol = _make_teacher(name, weights_path, device, precision)
    with _trial(name):
        ask_for_masks(name, teacher, _black_frames(device))
    return teacher


def make_scene_teacher(name: str, weights_path: Path, device: torch.device, precision: str) -> SceneTeacherProtocol:
    """As `make_human_teacher`, of a scene teacher."""
    teacher: SceneTeacherProtocol = _make_teacher(name, weights_path, device, precision)
    with _trial(name):
        ask_for_scenes(name, teacher, _black_frames(device))
    return teacher


def ask_for_masks(name: str, teacher: HumanTeacherProtocol, frames_BHWC: Tensor) -> Tensor:
    """Ask a teacher for masks; raise TeacherError naming its factory where they are in another form than agreed."""
    masks = teacher.predict_masks(frames_BHWC)
    _raise_fault(name, mask_fault(masks, frames_BHWC.shape[:3]))
    return masks


def ask_for_scenes(name: str, teacher: SceneTeacherProtocol, frames_BHWC: Tensor) -> SceneLabels:
    """Ask a teacher for scenes; raise TeacherError naming its factory where they are in another form than agreed."""
    labels = teacher.predict_scenes(frames_BHWC)
    _raise_fault(name, scene_form_fault(labels, len(frames_BHWC)) or _scene_value_fault(labels))
    return labels


def mask_fault(masks: object, shape: torch.Size) -> str | None:
    """Say how a teacher's masks differ from bool tensors of a shape; None where they do not."""
    return _form_fault("predict_masks", masks, "bool", shape)


def scene_form_fault(labels: SceneLabels, num_frames: int) -> str | None:
    """Say how a teacher's scenes differ in type and shape from those agreed; None where they do not."""
    shape = torch.Size([num_frames, NUM_SCENE_LABELS])
    fault = _form_fault("predict_scenes(...).indices_BK", labels.indices_BK, "int64", shape)
    return fault or _form_fault("predict_scenes(...).probs_BK", labels.probs_BK, "float", shape)


def _make_teacher(name: str, weights_path: Path, device: torch.device, precision: str) -> Any:
    """Make a teacher by its factory's ``module:function``, and check its attributes."""
    module_name, _, function_name = name.partition(":")
    if not function_name:
        raise ValueError(f"teacher {name!r}: give the factory as module:function")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise TeacherError(f"teacher {name}: {error}; give an importable module:function") from error
    except Exception as error:
        # The module is a user's own, and may raise anything while it is imported.
        raise TeacherError(f"teacher {name}: its module fails when imported: {_in_words(error)}") from error
    try:
        inspect.signature(factory).bind(weights_path, device=device, precision=precision)
    except (TypeError, ValueError) as error:
        raise TeacherError(
            f"teacher {name}: its signature must be (weights_path, *, device, precision), but {error}"
        ) from error
    with own_code(name, "its factory failed"), local_copy(weights_path, ".json") as local_path:
        teacher = factory(local_path, device=device, precision=precision)
    for attribute, kind in (("name", str), ("sha256", str), ("preprocessing", object)):
        if not isinstance(getattr(teacher, attribute, None), kind) or getattr(teacher, attribute) is None:
            raise TeacherError(
                f"teacher {name}: made a {type(teacher).__name__} without a {attribute} as "
                "pipeline.label.teacher describes"
            )
    return teacher


@contextmanager
def own_code(name: str, what: str) -> Iterator[None]:
    """Turn whatever a user's own factory or teacher raises into a TeacherError that names it and says `what` failed."""
    try:
        yield
    except KinetError:
        raise
    except Exception as error:
        raise TeacherError(f"teacher {name}: {what}: {_in_words(error)}") from error


def _trial(name: str) -> AbstractContextManager[None]:
    return own_code(name, f"failed on {_TRIAL_FRAMES} black frames")


@contextmanager
def _compiling(name: str, teacher: object) -> Iterator[None]:
    """Call a teacher's own `compile`; what it raises, there or at its first batch, is that it cannot be compiled."""
    compile_teacher = getattr(teacher, "compile", None)
    if not callable(compile_teacher):
        raise TeacherError(f"teacher {name}: has no method compile; label without --compile, or add it")
    with own_code(name, "cannot be compiled; label without --compile, or mend this"):
        compile_teacher()
        yield


def _black_frames(device: torch.device, num_frames: int = _TRIAL_FRAMES) -> Tensor:
    return torch.zeros(num_frames, FRAME_HEIGHT, FRAME_WIDTH, 3, dtype=torch.uint8, device=device)


def _raise_fault(name: str, fault: str | None) -> None:
    if fault:
        raise TeacherError(f"teacher {name}: {fault}")


def _scene_value_fault(labels: SceneLabels) -> str | None:
    if not ((labels.indices_BK >= 0) & (labels.indices_BK < NUM_SCENE_CLASSES)).all():
        return f"predict_scenes(...).indices_BK must lie in 0..{NUM_SCENE_CLASSES - 1}"
    probs_BK = labels.probs_BK.float()
    if not ((probs_BK >= 0) & (probs_BK <= 1)).all() or (probs_BK.diff(dim=1) > 0).any():
        return "predict_scenes(...).probs_BK must lie in 0..1, best first"
    return None


def _form_fault(what: str, found: object, dtype: str, shape: torch.Size) -> str | None:
    if not isinstance(found, Tensor):
        return f"{what} must be a tensor, found {type(found).__name__}"
    is_right = found.is_floating_point() if dtype == "float" else found.dtype == getattr(torch, dtype)
    if is_right and found.shape == shape:
        return None
    return f"{what} must be {dtype} {list(shape)}, found {str(found.dtype).removeprefix('torch.')} {list(found.shape)}"


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
