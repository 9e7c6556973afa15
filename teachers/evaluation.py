"""Score teachers on held-out images.

Shapes: B images, H and W an image's size, K classes.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.classification import BinaryConfusionMatrix, MulticlassConfusionMatrix
from torchvision.transforms.v2.functional import ten_crop

from manifests.images import LabelledImage, MaskedImage
from pipeline.errors import TeacherError
from pipeline.label.teacher import NUM_SCENE_LABELS, HumanTeacherProtocol, SceneTeacherProtocol
from teachers.architectures import NUM_LIP_CLASSES
from teachers.augmentation import IGNORED_CLASS
from teachers.datasets import read_image, read_masked_image
from teachers.human import HumanTeacher, merge_parts
from teachers.preprocessing import normalise, resize_frames
from teachers.scene import SceneTeacher

log = logging.getLogger(__name__)

SCENE_BATCH = 32


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
    """Score a parser on images at their own size.

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
    num_scored = 0
    for image in images:
        try:
            sample = read_masked_image(image, classes)
        except TeacherError as fault:
            log.warning("left out: %s", fault)
            continue
        frames_BHWC = sample.image.permute(1, 2, 0)[None].to(device)
        truth_HW = sample.target.long()
        if parser is not None:
            probs_BKHW = _resize_to(parser.predict_probabilities(frames_BHWC).cpu(), truth_HW)
            parts.update(probs_BKHW.argmax(1)[0], truth_HW)
            mask_HW = parser.person_probability(probs_BKHW)[0] >= 0.5
        else:
            mask_HW = _resize_to(teacher.predict_masks(frames_BHWC).cpu()[:, None].float(), truth_HW)[0, 0] >= 0.5
        person.update(mask_HW.long(), torch.where(truth_HW == IGNORED_CLASS, truth_HW, merge_parts(truth_HW).long()))
        num_scored += 1
    _check_scored(num_scored)
    person_22 = person.compute().double()
    scores = {"mask_iou": float(person_22[1, 1] / (person_22.sum() - person_22[0, 0]).clamp(min=1))}
    if parser is not None:
        scores |= score_confusion(parts.compute())
    return scores | {"images": float(num_scored), "unreadable": float(len(images) - num_scored)}


def _resize_to(maps_BKHW: Tensor, truth_HW: Tensor) -> Tensor:
    """Bring maps to the class map's size, where that differs from the image's by a pixel."""
    if maps_BKHW.shape[-2:] == truth_HW.shape:
        return maps_BKHW
    return torch.nn.functional.interpolate(maps_BKHW, size=truth_HW.shape, mode="bilinear", align_corners=False)


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
            frames_BHWC = torch.stack(group).to(device)
            if crops == 1:
                indices_BK = teacher.predict_scenes(frames_BHWC).indices_BK
            else:
                assert isinstance(teacher, SceneTeacher)
                indices_BK = ten_crop_probabilities(teacher, frames_BHWC).topk(NUM_SCENE_LABELS, dim=1).indices
            hits_K += (indices_BK.cpu() == torch.tensor(labels[size])[:, None]).sum(0)
            num_scored += len(group)
    _check_scored(num_scored)
    return {
        "top1": float(hits_K[0]) / num_scored,
        "top5": float(hits_K.sum()) / num_scored,
        "images": float(num_scored),
        "unreadable": float(len(images) - num_scored),
    }


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
