"""Running the teachers again on some frames and comparing with what is stored.

On the machine and in the precision that made the labels, they come out the same to the bit. Elsewhere (another GPU,
another library) rounding moves a few pixels at the edges of people, and probabilities in their third digit.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from manifests import VideoRecord
from pipeline.errors import Reason, VideoError
from pipeline.label.differences import FrameDifference, Tolerance, compare_labels, find_fault
from pipeline.label.plan import Plan, check_ingredients
from pipeline.label.settings import MASK_MEDIAN, LabelSettings, TeacherSettings
from pipeline.label.sight import require_videos
from pipeline.label.worker import ShardWorker
from pipeline.processors import count_processors
from pipeline.shards import FrameLabels, LabelIndex
from pipeline.video import hash_frames, read_frames
from pipeline.video_disk import NO_WITNESSES, Witnesses, read_through

Scalar = TypeVar("Scalar", bound=np.generic)

# Frames held in memory at a time, beside the teachers' own batches.
FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class SampleReport:
    """What became of a sample.

    Attributes:
        frames, videos: compared.
        left_out: bad shards that none of them was drawn from.
        identical: frames whose labels are the same to the bit.
        lowest_iou, largest_prob: the worst met.
        mismatches: what is beyond the tolerance, by video id.
    """

    frames: int
    videos: int
    identical: int
    lowest_iou: float
    largest_prob: float
    mismatches: Mapping[str, str]
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the sample's part of ``verify --json``."""
        return {
            "frames": self.frames,
            "videos": self.videos,
            "identical": self.identical,
            "lowest_iou": round(self.lowest_iou, 4),
            "largest_prob_difference": round(self.largest_prob, 4),
            "left_out": list(self.left_out),
            "mismatches": [{"video_id": video_id, "message": text} for video_id, text in self.mismatches.items()],
        }

    def as_text(self) -> str:
        """Return a line, one more where shards were left out, and one for each mismatch."""
        lines = [
            f"sample   {self.identical} of {self.frames} frames identical, lowest mask IoU {self.lowest_iou:.4f}, "
            f"largest difference of a probability {self.largest_prob:.4f}"
        ]
        if self.left_out:
            lines.append(f"sample   drawn without the bad shards {', '.join(self.left_out)}")
        lines += [f"differs  {video_id}: {text}" for video_id, text in self.mismatches.items()]
        return "\n".join(lines)


def draw_frames(index: LabelIndex, num_frames: int, seed: int) -> dict[str, list[int]]:
    """Draw labelled frames at random, each as likely as any other; return their indices by video id, in order."""
    video_ids = sorted(index)
    ends = list(accumulate(index.num_frames(video_id) for video_id in video_ids))
    total = ends[-1] if ends else 0
    drawn: dict[str, list[int]] = {}
    for row in sorted(random.Random(seed).sample(range(total), min(num_frames, total))):
        place = bisect_right(ends, row)
        drawn.setdefault(video_ids[place], []).append(row - (ends[place - 1] if place else 0))
    return drawn


def recheck_frames(
    shards_dir: Path,
    plan: Plan,
    records: Sequence[VideoRecord],
    teachers: TeacherSettings,
    settings: LabelSettings,
    *,
    num_frames: int,
    seed: int,
    left_out: Collection[str] = (),
    tolerance: Tolerance | None = None,
    on_frames: Callable[[int, int], None] = lambda _done, _of: None,
) -> SampleReport:
    """Draw frames, label them again in this process, in the precision of the plan, and compare.

    Args:
        shards_dir: of committed shards.
        plan: of the labels.
        records: of the manifest.
        teachers: which; with precision "auto" that of the plan.
        settings: the batch size is used.
        num_frames: to draw; all where there are fewer.
        seed: of the draw.
        left_out: names of bad shards, not to be drawn from; all others were verified.
        tolerance: beyond which a video counts as different.
        on_frames: called with the frames compared so far, and all.

    Raises:
        SourceError: the disk of the videos fails, or is not there; WorkspaceError where it is so from the start.
        PlanError: the teachers, or what else decides the labels, are not those of the plan.
    """
    tolerance = tolerance or Tolerance()
    if teachers.precision == "auto":
        teachers = replace(teachers, precision=plan.ingredients["precision"])
    with (
        closing(ShardWorker(teachers, settings, shards_dir, num_cpus=count_processors())) as worker,
        closing(LabelIndex(shards_dir, only={shard.name for shard in plan.shards} - set(left_out))) as index,
    ):
        check_ingredients(plan, {**worker.describe().ingredients, "manifest": plan.ingredients["manifest"]}, shards_dir)
        drawn = draw_frames(index, num_frames, seed)
        tally = _Tally(tolerance)
        radius = int(plan.ingredients.get(MASK_MEDIAN, 1)) // 2
        wanted = [record for record in records if record.video_id in drawn]
        witnesses = require_videos(plan.dataset, wanted) if wanted else NO_WITNESSES
        _compare(worker, index, drawn, wanted, witnesses, tally, on_frames, radius)
    return replace(tally.report(sum(map(len, drawn.values())), len(drawn)), left_out=tuple(sorted(left_out)))


def _compare(
    worker: ShardWorker,
    index: LabelIndex,
    drawn: Mapping[str, Sequence[int]],
    records: Sequence[VideoRecord],
    witnesses: Witnesses,
    tally: "_Tally",
    on_frames: Callable[[int, int], None],
    radius: int,
) -> None:
    """Label the drawn frames again, some at a time with `radius` neighbours to either side, and tally the outcome."""
    paths = {record.video_id: record.path for record in records}
    done, wanted = 0, sum(map(len, drawn.values()))
    waiting: list[_Part] = []

    def compare_waiting() -> None:
        clips = [clip for part in waiting for clip in part.clips]
        again = _label_again(worker, clips, [place for part in waiting for place in part.places])
        start = 0
        for part in waiting:
            rows = slice(start, start := start + len(part.frames))
            tally.add(part.video_id, part.frames, part.stored, _cut(again, rows))
        waiting.clear()

    for video_id, frames in drawn.items():
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            chosen = frames[start : start + FRAMES_AT_ONCE]
            try:
                waiting.append(_read_part(index, video_id, paths[video_id], chosen, radius))
            except (VideoError, ValueError) as error:
                _require_sound_disk(paths[video_id], witnesses, error)
                tally.add_unread(video_id, str(error))
            done += len(chosen)
            # Few frames are drawn of each video: batches hold those of several.
            if sum(len(part.frames) for part in waiting) >= FRAMES_AT_ONCE:
                compare_waiting()
            on_frames(done, wanted)
    if waiting:
        compare_waiting()


def _read_part(index: LabelIndex, video_id: str, path: Path, frames: Sequence[int], radius: int) -> "_Part":
    """Read what is stored of frames of a video, and the frames themselves with their neighbours.

    Raises:
        VideoError, ValueError: the video cannot be read any more.
    """
    last = index.num_frames(video_id) - 1
    windows = [range(max(0, frame - radius), min(last, frame + radius) + 1) for frame in frames]
    near = sorted(set(chain.from_iterable(windows)))
    stored, pixels = index.read(video_id, frames), read_frames(path, near)
    clips = [pixels[[bisect_left(near, frame) for frame in window]] for window in windows]
    places = [frame - window[0] for frame, window in zip(frames, windows, strict=True)]
    return _Part(video_id, frames, stored, clips, places)


def _require_sound_disk(path: Path, witnesses: Witnesses, error: VideoError | ValueError) -> None:
    """Raise SourceError where a video cannot be read for its disk's sake."""
    witnesses.require_sight(path)
    if not (isinstance(error, VideoError) and error.reason is Reason.MISSING):
        for _ in read_through(path):
            pass


def _cut(labels: FrameLabels, rows: slice) -> FrameLabels:
    """Return some rows of labels."""
    return FrameLabels(
        masks=None if labels.masks is None else labels.masks[rows],
        scene_indices=None if labels.scene_indices is None else labels.scene_indices[rows],
        scene_probs=None if labels.scene_probs is None else labels.scene_probs[rows],
        valid=labels.valid[rows],
        frame_hashes=labels.frame_hashes[rows],
    )


def _label_again(worker: ShardWorker, clips: Sequence[NDArray[np.uint8]], places: Sequence[int]) -> FrameLabels:
    """Label one frame of each clip uint8 [n, H, W, 3], that at its place, as a shard's are, to the stored types."""
    rows = worker.predict(clips)
    starts = np.cumsum([0, *map(len, clips)])[:-1]
    chosen = starts + np.asarray(places)
    return FrameLabels(
        masks=_join([part.masks for part in rows], chosen, np.bool_),
        scene_indices=_join([part.scene_indices for part in rows], chosen, np.uint16),
        scene_probs=_join([part.scene_probs for part in rows], chosen, np.float16),
        valid=np.ones(len(clips), np.bool_),
        frame_hashes=hash_frames(np.stack([clip[place] for clip, place in zip(clips, places, strict=True)])),
    )


def _join(
    parts: Sequence[NDArray[Any] | None], chosen: NDArray[np.int64], kind: type[Scalar]
) -> NDArray[Scalar] | None:
    """Choose from the batches' values, in their stored type; None where the teacher is not there."""
    present = [part for part in parts if part is not None]
    return np.concatenate(present)[chosen].astype(kind) if present else None


class _Part(NamedTuple):
    """Drawn frames of a video: their stored labels, a clip uint8 [n, H, W, 3] around each, and its place in that."""

    video_id: str
    frames: Sequence[int]
    stored: FrameLabels
    clips: Sequence[NDArray[np.uint8]]
    places: Sequence[int]


class _Tally:
    """Gathers the comparisons."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._differences: list[FrameDifference] = []
        self._mismatches: dict[str, str] = {}

    def add(self, video_id: str, frames: Sequence[int], stored: FrameLabels, again: FrameLabels) -> None:
        for row, frame in enumerate(frames):
            if stored.frame_hashes[row] != again.frame_hashes[row]:
                self._mismatches.setdefault(video_id, f"frame {frame} is not the frame that was labelled")
                continue
            difference = compare_labels(stored, again, row, self._tolerance)
            self._differences.append(difference)
            fault = find_fault(difference, self._tolerance)
            if fault is not None:
                self._mismatches.setdefault(video_id, f"frame {frame}: {fault}")

    def add_unread(self, video_id: str, message: str) -> None:
        self._mismatches.setdefault(video_id, f"cannot be read any more: {message}")

    def report(self, frames: int, videos: int) -> SampleReport:
        return SampleReport(
            frames=frames,
            videos=videos,
            identical=sum(difference.identical for difference in self._differences),
            lowest_iou=min((difference.iou for difference in self._differences), default=1.0),
            largest_prob=max((difference.prob for difference in self._differences), default=0.0),
            mismatches=self._mismatches,
        )
