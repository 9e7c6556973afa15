"""Which pseudo-labels are worth learning from; those that are left out count as absent, never as background or class 0.

Shape suffixes: T frames, H/W mask size, K scene classes kept per frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelFilter:
    """Leave out labels that say little.

    Attributes:
        min_scene_confidence: a scene label counts where the teacher's best class has at least this probability.
        skip_empty_masks: leave out masks without a single person pixel in the whole frame: a missed person teaches
            that people are background. A frame without people is left out with them.

    Raises:
        ValueError: a confidence that is no probability.
    """

    min_scene_confidence: float = 0.0
    skip_empty_masks: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_scene_confidence <= 1:
            raise ValueError(f"min_scene_confidence: expected 0 to 1, found {self.min_scene_confidence}")

    def keep_masks(self, masks_THW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which masks count: bool [T]. They must be whole, since a crop may hold nobody of a frame that does."""
        if not self.skip_empty_masks:
            return np.ones(len(masks_THW), np.bool_)
        return np.asarray(masks_THW.any(axis=(1, 2)))

    def keep_scenes(self, scene_probs_TK: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which scene labels count: bool [T]."""
        return scene_probs_TK[:, 0] >= self.min_scene_confidence


KEEP_ALL = LabelFilter()
