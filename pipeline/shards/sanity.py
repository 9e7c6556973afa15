"""Figures of what a shard's labels say, and what in them looks like a broken teacher: warnings, never faults.

A file can be whole in every byte and still hold labels that are worth nothing: all masks empty, one scene everywhere.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.shards.chunks import ChunkReader
from pipeline.shards.schema import NUM_SCENE_CLASSES

# Beyond these a data set's labels are not to be believed without a look at them.
MAX_EMPTY_SHARE = 0.95
MAX_FULL_SHARE = 0.05
MIN_SCENE_ENTROPY_BITS = 0.5
# Fewer videos may well look alike.
MIN_VIDEOS = 8


@dataclass(frozen=True)
class LabelFigures:
    """What the labels of a shard, or of several, say.

    Attributes:
        videos, frames: labelled.
        masks: frames with a mask; 0 where the labels are of the scene teacher alone.
        empty_masks, full_masks: masks without, and with nothing but, people.
        coverage: sum over the masks of the share that is people.
        only_mask: digest of the one mask that all frames have, or None where they differ.
        scenes: frames by best scene class; empty where the labels are of the human teacher alone.
    """

    videos: int
    frames: int
    masks: int
    empty_masks: int
    full_masks: int
    coverage: float
    only_mask: str | None
    scenes: Mapping[int, int]

    @property
    def scene_entropy_bits(self) -> float:
        """Entropy of the best scene classes over the frames: 0 where all are the same, at most log2(365) = 8.5."""
        total = sum(self.scenes.values())
        return -sum(count / total * math.log2(count / total) for count in self.scenes.values()) + 0.0

    def share(self, count: float) -> float:
        """Return a count's share of the masks; 0 where there are none."""
        return count / self.masks if self.masks else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the figures under names for programs; a teacher's are None where it has no labels here."""
        commonest = max(self.scenes, key=lambda scene: self.scenes[scene], default=None)
        return {
            "videos": self.videos,
            "frames": self.frames,
            "empty_mask_share": round(self.share(self.empty_masks), 4) if self.masks else None,
            "full_mask_share": round(self.share(self.full_masks), 4) if self.masks else None,
            "mean_coverage": round(self.share(self.coverage), 4) if self.masks else None,
            "scene_entropy_bits": round(self.scene_entropy_bits, 3) if self.scenes else None,
            "scene_classes": len(self.scenes) if self.scenes else None,
            "commonest_scene": commonest,
            "commonest_scene_share": round(self.scenes[commonest] / self.frames, 4) if commonest is not None else None,
        }


def measure_labels(shard_path: Path) -> LabelFigures:
    """Read a shard that was verified and sum up its labels."""
    with h5py.File(shard_path, "r", locking=False) as file:
        frames = len(file["valid"])
        scenes: dict[int, int] = {}
        if "scene_index" in file:
            counts = np.bincount(file["scene_index"][:, 0], minlength=NUM_SCENE_CLASSES)
            scenes = {scene: int(counts[scene]) for scene in np.flatnonzero(counts).tolist()}
        covered = np.empty(0, np.int64)
        only_mask = None
        pixels = 1
        if "mask" in file:
            pixels = file["mask"].shape[1] * 8
            covered, only_mask = _measure_masks(file["mask"])
        return LabelFigures(
            videos=len(file["video_id"]),
            frames=frames,
            masks=len(covered),
            empty_masks=int((covered == 0).sum()),
            full_masks=int((covered == pixels).sum()),
            coverage=float(covered.sum()) / pixels,
            only_mask=only_mask,
            scenes=scenes,
        )


def sum_figures(all_figures: Iterable[LabelFigures]) -> LabelFigures:
    """Sum the figures of several shards."""
    parts = list(all_figures)
    scenes: dict[int, int] = {}
    for part in parts:
        for scene, count in part.scenes.items():
            scenes[scene] = scenes.get(scene, 0) + count
    only_masks = {part.only_mask for part in parts if part.masks}
    return LabelFigures(
        videos=sum(part.videos for part in parts),
        frames=sum(part.frames for part in parts),
        masks=sum(part.masks for part in parts),
        empty_masks=sum(part.empty_masks for part in parts),
        full_masks=sum(part.full_masks for part in parts),
        coverage=sum(part.coverage for part in parts),
        only_mask=only_masks.pop() if len(only_masks) == 1 else None,
        scenes=scenes,
    )


def find_oddities(all_figures: Mapping[str, LabelFigures]) -> list[str]:
    """Say what in a data set's labels, given by shard name, looks like a broken teacher; each one clause.

    Shards are held against constant outputs only, and only from 8 videos on: a shard's videos may well be of one class.
    """
    total = sum_figures(all_figures.values())
    constant = [f"all shards: {oddity}" for oddity in _constant_outputs(total)]
    oddities = list(constant)
    if total.share(total.empty_masks) > MAX_EMPTY_SHARE and total.only_mask is None:
        oddities.append(f"all shards: {total.share(total.empty_masks):.1%} of the masks are empty")
    if total.share(total.full_masks) > MAX_FULL_SHARE and total.only_mask is None:
        oddities.append(f"all shards: {total.share(total.full_masks):.1%} of the masks cover the whole frame")
    if len(total.scenes) > 1 and total.videos >= MIN_VIDEOS and total.scene_entropy_bits < MIN_SCENE_ENTROPY_BITS:
        oddities.append(f"all shards: the scenes have {total.scene_entropy_bits:.2f} bits of entropy, hardly any")
    # One worker's broken device may be the whole of what is odd about all.
    if not constant and len(all_figures) > 1:
        oddities += [
            f"{name}: {oddity}" for name, figures in all_figures.items() for oddity in _constant_outputs(figures)
        ]
    return oddities


def _constant_outputs(figures: LabelFigures) -> list[str]:
    oddities = []
    if figures.videos >= MIN_VIDEOS:
        if figures.masks and figures.empty_masks == figures.masks:
            oddities.append(f"all {figures.masks} masks are empty")
        elif figures.masks and figures.full_masks == figures.masks:
            oddities.append(f"all {figures.masks} masks cover the whole frame")
        elif figures.masks and figures.only_mask is not None:
            oddities.append(f"all {figures.masks} masks are the same")
        if len(figures.scenes) == 1:
            oddities.append(f"all {figures.frames} frames have scene {next(iter(figures.scenes))} as their best")
    return oddities


def _measure_masks(mask: h5py.Dataset) -> tuple[npt.NDArray[np.int64], str | None]:
    """Count each mask's pixels of people; return the digest of the only mask where all are the same."""
    covered = [np.empty(0, np.int64)]
    first: npt.NDArray[np.uint8] | None = None
    same = True
    for rows in ChunkReader(mask.id).read_all():
        covered.append(np.bitwise_count(rows).sum(axis=1, dtype=np.int64))
        first = rows[:1] if first is None else first
        same = same and bool((rows == first).all())
    digest = hashlib.sha256(first.tobytes()).hexdigest() if first is not None and same else None
    return np.concatenate(covered), digest
