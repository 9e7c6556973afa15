"""Score teachers on held-out images.

Shapes: B images, H and W an image's size, K classes.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.classification import BinaryConfusionMatrix, MulticlassConfusionMatrix
from torchvision.transforms.v2.functional import ten_crop

from manifests.images import LabelledImage, MaskedImage
from pipeline.errors import TeacherError
from pipeline.label.teacher import NUM_SCENE_LABELS, HumanTeacherProtocol, SceneTeacherProtocol
from pipeline.training.faults import FaultLog
from teachers.architectures import NUM_LIP_CLASSES
from teachers.augmentation import IGNORED_CLASS
from teachers.datasets import MAX_NAMED, UNUSABLE, read_image, read_masked_image
from teachers.human import HumanTeacher, merge_parts
from teachers.preprocessing import normalise, resize_frames
from teachers.scene import SceneTeacher

log = logging.getLogger(__name__)

SCENE_BATCH = 32
# Whole photographs are big: so many pixels of a batch, or of a parser's answer, are in memory at once.
MAX_BATCH_PIXELS = 1 << 23
MAX_ANSWER_PIXELS = 1 << 20
PROGRESS_EVERY_SEC = 10.0


def score_confusion(confusion_KK: Tensor) -> dict[str, float]:
    """Compute pixel accuracy, mean accuracy, mIoU and frequency-weighted IoU, over the classes that occur.

    A class without a pixel in truth counts neither in the mean accuracy nor, unless it was predicted, in the mIoU.
    """
    counts = confusion_KK.double()
    hits, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    union = true + predicted - hits
    iou = hits / union.clamp(min=1)
    return {
        "pixel_accuracy": float(hits.sum() / counts.sum().clamp(min=1)),
        "mean_accuracy": float((hits / true.clamp(min=1))[true > 0].mean()),
        "miou": float(iou[union > 0].mean()),
        "frequency_weighted_iou": float((true * iou).sum() / true.sum().clamp(min=1)),
    }


def evaluate_human(
    teacher: HumanTeacherProtocol, images: Sequence[MaskedImage], *, device: torch.device
) -> dict[str, float]:
    """Score a parser on images at their own size; pictures above a megapixel are parsed at one, and enlarged.

    Returns:
        ``mask_iou``: person pixels of all images together, intersection over union; for a parser of LIP's 20 classes
        also the scores of `score_confusion`; ``images`` and ``unreadable``: how many were scored and left out.

    Raises:
        TeacherError: no image could be scored.
    """
    parser = teacher if isinstance(teacher, HumanTeacher) and teacher.parses_lip else None
    classes = NUM_LIP_CLASSES if parser is not None else 2
    parts = MulticlassConfusionMatrix(classes, ignore_index=IGNORED_CLASS, validate_args=False)
    person = BinaryConfusionMatrix(ignore_index=IGNORED_CLASS, validate_args=False)
    num_scored, left_out, progress = 0, FaultLog(None, max_named=MAX_NAMED), _Progress(len(images))
    for image in images:
        progress.step(1)
        try:
            sample = read_masked_image(image, classes)
        except TeacherError as fault:
            _note(left_out, image.image_path, fault)
            continue
        frames_BHWC = sample.image.permute(1, 2, 0)[None].to(device)
        truth_HW = sample.target.long()
        if parser is not None:
            probs_BKHW = parser.predict_probabilities(frames_BHWC, _bound_size(truth_HW.shape)).cpu()
            parts.update(_enlarge(probs_BKHW.argmax(1), truth_HW), truth_HW)
            mask_HW = _enlarge(parser.person_probability(probs_BKHW) >= 0.5, truth_HW)
        elif isinstance(teacher, HumanTeacher):
            probs_BKHW = teacher.predict_probabilities(frames_BHWC, _bound_size(truth_HW.shape)).cpu()
            mask_HW = _enlarge(teacher.person_probability(probs_BKHW) >= 0.5, truth_HW)
        else:
            mask_HW = _enlarge(teacher.predict_masks(frames_BHWC).cpu(), truth_HW)
        person.update(mask_HW, torch.where(truth_HW == IGNORED_CLASS, truth_HW, merge_parts(truth_HW).long()))
        num_scored += 1
    _check_scored(num_scored)
    person_22 = person.compute().double()
    scores = {"mask_iou": float(person_22[1, 1] / (person_22.sum() - person_22[0, 0]).clamp(min=1))}
    if parser is not None:
        scores |= score_confusion(parts.compute())
    return scores | {"images": float(num_scored), "unreadable": float(len(images) - num_scored)}


def _note(left_out: FaultLog, path: Path, fault: TeacherError) -> None:
    left_out.note(str(path), UNUSABLE, str(fault).removeprefix(f"{path}: "))


def _bound_size(size: torch.Size) -> tuple[int, int]:
    """Shrink a height and width, keeping their proportion, to as many pixels as an answer may have."""
    height, width = size
    factor = min(1.0, math.sqrt(MAX_ANSWER_PIXELS / (height * width)))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _enlarge(ids_1HW: Tensor, truth_HW: Tensor) -> Tensor:
    """Bring class ids or a mask to the class map's size by the nearest pixel; int64 [H, W]."""
    ids_11HW = ids_1HW[None].to(torch.uint8)
    if ids_11HW.shape[-2:] != truth_HW.shape:
        ids_11HW = torch.nn.functional.interpolate(ids_11HW, size=truth_HW.shape, mode="nearest")
    return ids_11HW[0, 0].long()


def evaluate_scene(
    teacher: SceneTeacherProtocol, images: Sequence[LabelledImage], *, device: torch.device, crops: int = 1
) -> dict[str, float]:
    """Score a classifier over all 365 classes.

    Args:
        crops: 10 averages probabilities over corners, centre and their mirror images; the teacher is then ours.

    Returns:
        ``top1`` and ``top5``: shares of the images; ``images`` and ``unreadable``: how many were scored and left out.

    Raises:
        TeacherError: no image could be scored.
    """
    hits_K = torch.zeros(NUM_SCENE_LABELS, dtype=torch.int64)
    num_scored = 0
    for group in _scene_batches(images):
        frames_BHWC = torch.stack([frame for frame, _ in group]).to(device)
        labels_B = torch.tensor([label for _, label in group])
        if crops == 1:
            indices_BK = teacher.predict_scenes(frames_BHWC).indices_BK
        elif isinstance(teacher, SceneTeacher):
            indices_BK = ten_crop_probabilities(teacher, frames_BHWC).topk(NUM_SCENE_LABELS, dim=1).indices
        else:
            raise ValueError("ten crops need a teacher that says how its input is cut, a SceneTeacher")
        hits_K += (indices_BK.cpu() == labels_B[:, None]).sum(0)
        num_scored += len(group)
    _check_scored(num_scored)
    return {
        "top1": float(hits_K[0]) / num_scored,
        "top5": float(hits_K.sum()) / num_scored,
        "images": float(num_scored),
        "unreadable": float(len(images) - num_scored),
    }


def _scene_batches(images: Sequence[LabelledImage]) -> Iterator[list[tuple[Tensor, int]]]:
    """Give readable images (uint8 [H, W, 3]) with their labels, those of one size together, as many as memory bears."""
    groups: dict[tuple[int, ...], list[tuple[Tensor, int]]] = {}
    num_pixels, left_out, progress = 0, FaultLog(None, max_named=MAX_NAMED), _Progress(len(images))
    for image in images:
        progress.step(1)
        try:
            frame_HWC = read_image(image.path).permute(1, 2, 0)
        except TeacherError as fault:
            _note(left_out, image.path, fault)
            continue
        pixels = frame_HWC.shape[0] * frame_HWC.shape[1]
        if groups and (num_pixels + pixels > MAX_BATCH_PIXELS or sum(map(len, groups.values())) == SCENE_BATCH):
            yield from groups.values()
            groups, num_pixels = {}, 0
        groups.setdefault(tuple(frame_HWC.shape), []).append((frame_HWC, image.label))
        num_pixels += pixels
    yield from groups.values()


class _Progress:
    """Log from time to time how far the scoring is."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._begin_sec = self._last_sec = time.monotonic()

    def step(self, num_images: int) -> None:
        self._done += num_images
        now_sec = time.monotonic()
        if now_sec - self._last_sec >= PROGRESS_EVERY_SEC:
            rate = self._done / (now_sec - self._begin_sec)
            log.info("scored %d of %d images, %.1f images/s", self._done, self._total, rate)
            self._last_sec = now_sec


def ten_crop_probabilities(teacher: SceneTeacher, frames_BHWC: Tensor) -> Tensor:
    """Average the probabilities of 4 corners, the centre and their mirror images: uint8 [B, H, W, 3] to [B, 365]."""
    preprocessing = teacher.preprocessing
    resized_B3HW = resize_frames(frames_BHWC, preprocessing)
    # A mean image of the whole frame's size belongs to its places; one of the crop's size to every crop.
    whole = preprocessing.mean_image is None or tuple(preprocessing.mean_image.shape[-2:]) == resized_B3HW.shape[-2:]
    if whole:
        resized_B3HW = normalise(resized_B3HW, preprocessing)
    crops = ten_crop(resized_B3HW, list(preprocessing.input_size))
    return torch.stack([teacher.classify(crop if whole else normalise(crop, preprocessing)) for crop in crops]).mean(0)


def _check_scored(num_scored: int) -> None:
    if not num_scored:
        raise TeacherError("no image to score on; the data set has no val images, or none is readable")
