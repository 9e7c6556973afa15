"""How far a frame's labels, made again, lie from the stored ones, and how far they may."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.shards import FrameLabels


@dataclass(frozen=True)
class Tolerance:
    """How far labels made again may lie from the stored ones.

    Attributes:
        pixel_share: of a mask's pixels that may differ.
        prob: difference of a scene probability; float16 alone gives 0.0005. Two best scenes that lie closer together
            than this may change places.
    """

    pixel_share: float = 0.01
    prob: float = 0.03


class FrameDifference(NamedTuple):
    """How one frame's labels, made again, differ from the stored ones; a teacher without labels counts as the same.

    Attributes:
        pixel_share: of the mask's pixels that differ.
        iou: intersection over union of the two masks; 1 where both are empty.
        same_scene: whether the best scene is the same, or the stored best two are as good as equal.
        prob: largest difference of a probability, compared by rank.
        identical: whether every stored value is the same.
    """

    pixel_share: float
    iou: float
    same_scene: bool
    prob: float
    identical: bool


def compare_labels(stored: FrameLabels, again: FrameLabels, row: int, tolerance: Tolerance) -> FrameDifference:
    """Compare one frame's labels."""
    pixel_share, iou, same_scene, prob, identical = 0.0, 1.0, True, 0.0, True
    if stored.masks is not None and again.masks is not None:
        before, now = stored.masks[row], again.masks[row]
        pixel_share = float((before ^ now).mean())
        union = int((before | now).sum())
        iou = int((before & now).sum()) / union if union else 1.0
        identical = pixel_share == 0
    if stored.scene_probs is not None and again.scene_probs is not None:
        assert stored.scene_indices is not None and again.scene_indices is not None
        before, now = stored.scene_probs[row].astype(np.float32), again.scene_probs[row].astype(np.float32)
        prob = float(np.abs(before - now).max())
        same_class = stored.scene_indices[row, 0] == again.scene_indices[row, 0]
        same_scene = bool(same_class or before[0] - before[1] <= tolerance.prob)
        identical &= prob == 0 and bool((stored.scene_indices[row] == again.scene_indices[row]).all())
    return FrameDifference(pixel_share, iou, same_scene, prob, identical)


def find_fault(difference: FrameDifference, tolerance: Tolerance) -> str | None:
    """Say what of a frame is beyond the tolerance; None where nothing is."""
    if difference.pixel_share > tolerance.pixel_share:
        return f"{difference.pixel_share:.1%} of the mask differs (IoU {difference.iou:.3f})"
    if not difference.same_scene:
        return "the best scene differs"
    if difference.prob > tolerance.prob:
        return f"a scene's probability differs by {difference.prob:.3f}"
    return None
