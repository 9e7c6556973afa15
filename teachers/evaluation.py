"""Score teachers on held-out images.

Shapes: B images, H and W an image's size, K classes.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from manifests.images import LabelledImage, MaskedImage
from pipeline.errors import TeacherError
from teachers.datasets import read_image, read_masked_image
from teachers.human import HumanTeacher, merge_parts
from teachers.scene import SceneTeacher

log = logging.getLogger(__name__)

SCENE_BATCH = 32


def count_confusion(predicted: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pixels by (true class, predicted class): int64 [K, K]; target ids of K and above are ignored."""
    counted = target < num_classes
    pairs = target[counted].long() * num_classes + predicted[counted].long()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


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
    teacher: HumanTeacher, images: Sequence[MaskedImage], *, classes: int, device: torch.device
) -> dict[str, float]:
    """Score a parser on images at their own size.

    Returns:
        ``mask_iou``: person pixels of all images together, intersection over union; for 20 classes also the scores of
        `score_confusion`; ``images`` and ``unreadable``: how many were scored and left out.

    Raises:
        TeacherError: no image could be scored.
    """
    parts_KK = torch.zeros(classes, classes, dtype=torch.int64)
    person_22 = torch.zeros(2, 2, dtype=torch.int64)
    num_scored = 0
    for image in images:
        try:
            sample = read_masked_image(image, classes)
        except TeacherError as fault:
            log.warning("left out: %s", fault)
            continue
        frames_BHWC = sample.image.permute(1, 2, 0)[None].to(device)
        probs_KHW = _resize_to(teacher.predict_probabilities(frames_BHWC), sample.target)[0].cpu()
        truth = sample.target
        person_truth = torch.where(truth == 255, truth, merge_parts(truth).to(torch.uint8))
        person_22 += count_confusion(1 - probs_KHW[0] >= 0.5, person_truth, 2)
        parts_KK += count_confusion(probs_KHW.argmax(0), truth, classes)
        num_scored += 1
    _check_scored(num_scored)
    person = person_22.double()
    scores = {"mask_iou": float(person[1, 1] / (person.sum() - person[0, 0]).clamp(min=1))}
    if classes > 2:
        scores |= score_confusion(parts_KK)
    return scores | {"images": float(num_scored), "unreadable": float(len(images) - num_scored)}


def _resize_to(probs_BKHW: Tensor, mask_HW: Tensor) -> Tensor:
    """Bring probabilities to the class map's size, where that differs from the image's by a pixel."""
    if probs_BKHW.shape[-2:] == mask_HW.shape:
        return probs_BKHW
    return torch.nn.functional.interpolate(probs_BKHW, size=mask_HW.shape, mode="bilinear", align_corners=False)


def evaluate_scene(teacher: SceneTeacher, images: Sequence[LabelledImage], *, device: torch.device) -> dict[str, float]:
    """Score a classifier over all 365 classes.

    Returns:
        ``top1`` and ``top5``: shares of the images; ``images`` and ``unreadable``: how many were scored and left out.

    Raises:
        TeacherError: no image could be scored.
    """
    hits_K = torch.zeros(5, dtype=torch.int64)
    num_scored = 0
    for begin in range(0, len(images), SCENE_BATCH):
        frames: dict[tuple[int, ...], list[Tensor]] = {}
        labels: dict[tuple[int, ...], list[int]] = {}
        for image in images[begin : begin + SCENE_BATCH]:
            try:
                frame_HWC = read_image(image.path).permute(1, 2, 0)
            except TeacherError as fault:
                log.warning("left out: %s", fault)
                continue
            # Images of one size go through the network together.
            frames.setdefault(tuple(frame_HWC.shape), []).append(frame_HWC)
            labels.setdefault(tuple(frame_HWC.shape), []).append(image.label)
        for size, group in frames.items():
            indices_BK = teacher.predict_scenes(torch.stack(group).to(device)).indices_BK.cpu()
            hits_K += (indices_BK == torch.tensor(labels[size])[:, None]).sum(0)
            num_scored += len(group)
    _check_scored(num_scored)
    return {
        "top1": float(hits_K[0]) / num_scored,
        "top5": float(hits_K.sum()) / num_scored,
        "images": float(num_scored),
        "unreadable": float(len(images) - num_scored),
    }


def _check_scored(num_scored: int) -> None:
    if not num_scored:
        raise TeacherError("no image to score on; the data set has no val images, or none is readable")
