"""How good a video's masks look without any truth to compare with: how much they cover, how often they are empty, how
much they change from frame to frame.

Shapes: n frames of one video in order, H and W the mask's size.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.shards.columns import pack_masks

_PLACES = 4


class MaskQuality(NamedTuple):
    """Figures of one video's masks.

    Attributes:
        coverage: mean share of the frame that is people.
        empty_share: share of the frames without people.
        flicker: mean over successive frames of 1 - IoU of their masks: 0 where nothing changes (two empty masks too),
            1 where nothing stays. People who move raise it a little, masks that come and go a lot. 0 for one frame.
    """

    coverage: float
    empty_share: float
    flicker: float


class MaskQualityMeter:
    """Sum up a video's masks as they come, batch by batch."""

    def __init__(self) -> None:
        self._frames = 0
        self._pixels = 0
        self._people = 0
        self._empty = 0
        self._changes = 0.0
        self._last: NDArray[np.unsignedinteger] | None = None

    def add(self, masks: NDArray[np.bool_] | NDArray[np.uint8]) -> None:
        """Count the next frames' masks: bool [n, H, W], or uint8 [n, H*W/8] as `numpy.packbits` gives them."""
        if not len(masks):
            return
        packed = pack_masks(masks)
        # Eight bytes at a time where they go in whole: the same counts, sooner.
        whole = packed.shape[1] % 8 == 0
        bits: NDArray[np.unsignedinteger] = np.ascontiguousarray(packed).view(np.uint64) if whole else packed
        people = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        self._frames += len(bits)
        self._pixels += int(np.prod(masks.shape)) if masks.dtype == np.bool_ else 8 * masks.size
        self._people += int(people.sum())
        self._empty += int((people == 0).sum())
        before = bits[:-1] if self._last is None else np.concatenate([self._last[None], bits[:-1]])
        after = bits[len(bits) - len(before) :]
        changed = np.bitwise_count(before ^ after).sum(axis=1, dtype=np.int64)
        union = np.bitwise_count(before | after).sum(axis=1, dtype=np.int64)
        self._changes += float((changed / np.maximum(union, 1)).sum())
        self._last = bits[-1].copy()

    def figures(self) -> MaskQuality | None:
        """Return the figures so far, to four places; None before the first mask."""
        if not self._frames:
            return None
        return MaskQuality(
            coverage=round(self._people / self._pixels, _PLACES),
            empty_share=round(self._empty / self._frames, _PLACES),
            flicker=round(self._changes / max(1, self._frames - 1), _PLACES),
        )
