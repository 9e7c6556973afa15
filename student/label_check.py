"""Do cropped labels lie on their cropped frames? The teachers look at crops as training cuts them, and are compared.

A teacher sees a crop at another scale and with less around it than the frame it labelled, so the two never agree
wholly. What the figures mean is shown by masks put in wrong places and scenes of wrong videos, which agree less.

Shape suffixes: C clips, F frames of all clips, S input size, K scene classes kept per frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipeline.errors import KinetError, TeacherError
from pipeline.label.teacher_loading import Teachers
from pipeline.shards import label_dirs, open_shard
from pipeline.shards.receipts import find_receipts
from student.dataset import ClipKey, TrainClip, TrainDataset

IN_PLACE = "in place"
_SHIFT_PARTS = 8


class LabelCheckError(KinetError):
    """Labels do not lie on their frames, or there is nothing to compare."""


@dataclass(frozen=True)
class LabelCheckReport:
    """How the teachers' answers to crops agree with the cropped labels.

    Attributes:
        clips, unreadable: looked at, and left out because their video cannot be read.
        mask_frames, scene_frames: compared.
        mask_iou: by the masks' place ("in place", "mirrored", "shifted left", ...): intersection over union, all frames
            together; {} without masks.
        scene_top1: share of frames whose best scene is the label's; None without scene labels.
        scene_top1_other: the same with the label of another clip, of the frames whose own label is another; None where
            there is no such frame.
    """

    clips: int
    unreadable: int
    mask_frames: int = 0
    mask_iou: Mapping[str, float] = field(default_factory=dict)
    scene_frames: int = 0
    scene_top1: float | None = None
    scene_top1_other: float | None = None

    def find_faults(self) -> list[str]:
        """Say what contradicts that labels lie on their frames; [] where nothing does."""
        faults = []
        best = max(self.mask_iou, key=lambda place: self.mask_iou[place], default=IN_PLACE)
        if best != IN_PLACE:
            faults.append(
                f"cropped masks fit better {best} (IoU {self.mask_iou[best]:.3f}) than in place "
                f"({self.mask_iou[IN_PLACE]:.3f})"
            )
        top1, other = self.scene_top1, self.scene_top1_other
        if top1 is not None and other is not None and top1 <= other:
            faults.append(
                f"scenes agree no more with their own frames' labels ({top1:.1%}) than with other videos' ({other:.1%})"
            )
        return faults

    def as_text(self) -> str:
        """Say it in lines, with what to compare each figure with."""
        lines = [f"{self.clips} clips as training cuts them, {self.unreadable} unreadable"]
        if self.mask_iou:
            wrong = ", ".join(f"{iou:.3f} {place}" for place, iou in self.mask_iou.items() if place != IN_PLACE)
            lines.append(f"masks: IoU {self.mask_iou[IN_PLACE]:.3f} in place over {self.mask_frames} frames; {wrong}")
        if self.scene_top1 is not None:
            other = "" if self.scene_top1_other is None else f"; with other videos' labels {self.scene_top1_other:.1%}"
            lines.append(f"scenes: top-1 {self.scene_top1:.1%} over {self.scene_frames} frames{other}")
        if not self.find_faults():
            lines.append("labels lie on their frames: nothing fits better than their own place")
        return "\n".join(lines)


def check_crops(
    dataset: TrainDataset,
    teachers: Teachers,
    items: Sequence[int],
    on_clip: Callable[[int], None] = lambda _done: None,
) -> LabelCheckReport:
    """Draw one training sample of each video, run the teachers on its crops, and compare with the cropped labels.

    Args:
        dataset: with labels.
        teachers: those that made the labels; one of them alone is compared alone.
        items: places of videos in the data set.
        on_clip: called with the clips looked at.

    Raises:
        LabelCheckError: no frame has a label that one of these teachers made.
        ShardError: a shard is damaged.
    """
    masks, scenes = _MaskTally(), _SceneTally()
    num_clips = unreadable = 0
    for done, item in enumerate(items, start=1):
        clip = dataset[ClipKey(0, item)]
        if isinstance(clip, KinetError):
            raise clip
        if isinstance(clip, TrainClip):
            num_clips += 1
            _compare(clip, teachers, masks, scenes)
        else:
            unreadable += 1
        on_clip(done)
    if not masks.num_frames and not scenes.num_frames:
        raise LabelCheckError(f"no frame of {num_clips} clips has a label to compare; see kinet-pipeline status")
    return LabelCheckReport(
        clips=num_clips,
        unreadable=unreadable,
        mask_frames=masks.num_frames,
        mask_iou=masks.measure(),
        scene_frames=scenes.num_frames,
        scene_top1=scenes.measure(),
        scene_top1_other=scenes.measure_other(),
    )


def check_labelled_by(shards_dir: Path, teachers: Teachers) -> None:
    """Raise TeacherError where the shards were labelled by other teachers than these: they would not agree anyway."""
    for folder in label_dirs(shards_dir):
        shard_path = find_receipts(folder)[0].with_suffix(".h5")
        with open_shard(shard_path) as shard:
            header = shard.header
        for labelled_by, teacher in ((header.human_teacher, teachers.human), (header.scene_teacher, teachers.scene)):
            given = f"{teacher.name} sha256:{teacher.sha256}" if teacher else None
            if labelled_by and given and labelled_by != given:
                raise TeacherError(
                    f"{folder}: labelled by {labelled_by}, the teacher given is {given}; give the same one"
                )


def _compare(clip: TrainClip, teachers: Teachers, masks: "_MaskTally", scenes: "_SceneTally") -> None:
    frames_FSSC = clip.frames.permute(0, 2, 3, 1).contiguous()
    if teachers.human is not None and bool(clip.has_mask.any()):
        seen_FSS = teachers.human.predict_masks(frames_FSSC[clip.has_mask].to(teachers.device)).cpu()
        masks.add(clip.masks[clip.has_mask], seen_FSS)
    has_scene_F = clip.scene_indices[:, 0] >= 0
    if teachers.scene is not None and bool(has_scene_F.any()):
        found = teachers.scene.predict_scenes(frames_FSSC[has_scene_F].to(teachers.device))
        scenes.add(clip.scene_indices[has_scene_F, 0], found.indices_BK[:, 0].cpu())


class _MaskTally:
    """Adds up intersections and unions of the teacher's masks with labels in their place and in wrong ones."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._counts: dict[str, list[int]] = {}

    def add(self, labels_FSS: Tensor, seen_FSS: Tensor) -> None:
        self.num_frames += len(labels_FSS)
        for place, (moved_FSS, compared_FSS) in _misplace(labels_FSS, seen_FSS).items():
            counts = self._counts.setdefault(place, [0, 0])
            counts[0] += int((moved_FSS & compared_FSS).sum())
            counts[1] += int((moved_FSS | compared_FSS).sum())

    def measure(self) -> dict[str, float]:
        return {place: both / either if either else 1.0 for place, (both, either) in self._counts.items()}


def _misplace(labels_FSS: Tensor, seen_FSS: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Pair masks in place, mirrored, and shifted by an eighth of the side each way, where the two still overlap."""
    size = labels_FSS.shape[-1]
    step = size // _SHIFT_PARTS
    return {
        IN_PLACE: (labels_FSS, seen_FSS),
        "mirrored": (labels_FSS.flip(-1), seen_FSS),
        "shifted left": (labels_FSS[..., step:], seen_FSS[..., : size - step]),
        "shifted right": (labels_FSS[..., : size - step], seen_FSS[..., step:]),
        "shifted up": (labels_FSS[:, step:], seen_FSS[:, : size - step]),
        "shifted down": (labels_FSS[:, : size - step], seen_FSS[:, step:]),
    }


class _SceneTally:
    """Gathers best scenes, clip by clip."""

    def __init__(self) -> None:
        self._labels: list[Tensor] = []
        self._seen: list[Tensor] = []

    @property
    def num_frames(self) -> int:
        return sum(map(len, self._labels))

    def add(self, labels_F: Tensor, seen_F: Tensor) -> None:
        self._labels.append(labels_F)
        self._seen.append(seen_F)

    def measure(self) -> float | None:
        """Return the share that agrees; None without frames."""
        return _mean([seen_F == own_F for seen_F, own_F in zip(self._seen, self._labels, strict=True)])

    def measure_other(self) -> float | None:
        """Return the share that agrees with the first label of the next clip.

        Only frames that this label is wrong for show anything: of clips of one scene all would agree with both.
        """
        if len(self._labels) < 2:
            return None
        others = [next_F[0] for next_F in (*self._labels[1:], self._labels[0])]
        pairs = zip(self._seen, self._labels, others, strict=True)
        return _mean([(seen_F == other)[own_F != other] for seen_F, own_F, other in pairs])


def _mean(hits: Sequence[Tensor]) -> float | None:
    """Return the share of all that is true; None where there is nothing."""
    hits_F = torch.cat(list(hits)) if hits else torch.empty(0)
    return float(hits_F.float().mean()) if len(hits_F) else None
