"""The data sets of stage two: sampled frames with their labels for training, whole views for evaluation.

Shape suffixes: B videos, T frames, H/W frame size, S the network's input size, K scene classes kept per frame.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from manifests.record import VideoRecord
from pipeline.errors import KinetError, VideoError
from pipeline.shards.schema import NUM_SCENE_LABELS
from pipeline.training.seeds import item_generator
from pipeline.video.sampling import centre_segments, sample_segments
from student.clips import ClipReader, FrameSource, LabelledFrames
from student.label_filter import KEEP_ALL, LabelFilter
from student.transforms import MultiScaleCrop, crop_frames, crop_masks, resize_masks, scale_for_test


class ClipKey(NamedTuple):
    """Which video is read, and in which epoch: together with the seed this decides everything random about it."""

    epoch: int
    item: int


class TrainClip(NamedTuple):
    """One training sample.

    Attributes:
        frames: uint8 RGB [T, 3, S, S], or stacks of flow [T, 10, S, S].
        masks: bool [T, S, S], cut and flipped as the frames; False throughout where `has_mask` is False.
        scene_indices: int64 [T, K], scene_probs: float32 [T, K]; of the full frame; -1 and 0 where there is no scene
        label.
        has_label: bool [T], whether the frame has labels, be it of one teacher alone. has_mask: bool [T].
        label: action class.
        video_id, mismatched: whose frames, and which of them were not the ones that stage one labelled.
    """

    frames: Tensor
    masks: Tensor
    scene_indices: Tensor
    scene_probs: Tensor
    has_label: Tensor
    has_mask: Tensor
    label: int
    video_id: str
    mismatched: tuple[int, ...]


class DroppedVideo(NamedTuple):
    """A video that could not be read, and the typed reason under which it is counted."""

    video_id: str
    reason: str
    message: str


class TrainBatch(NamedTuple):
    """Samples side by side, with what could not be used.

    Attributes:
        frames: uint8 [B, T, 3, S, S], or [B, T, 10, S, S] of flow; B counts only the videos that could be read and may
            be 0.
        masks: bool [B, T, S, S].
        scene_indices: int64 [B, T, K]. scene_probs: float32 [B, T, K].
        has_label: bool [B, T]. has_mask: bool [B, T].
        action: int64 [B].
        dropped: the videos that could not be read.
        mismatched: (video_id, frame) of frames that are not the ones labelled.
        fault: a fault that must end the run (a damaged shard); exceptions of a loading process lose their type on the
            way, so it travels as a value.
    """

    frames: Tensor
    masks: Tensor
    scene_indices: Tensor
    scene_probs: Tensor
    has_label: Tensor
    has_mask: Tensor
    action: Tensor
    dropped: tuple[DroppedVideo, ...]
    mismatched: tuple[tuple[str, int], ...]
    fault: KinetError | None

    @property
    def has_scene(self) -> Tensor:
        """bool [B, T], whether the frame has a scene label."""
        return self.scene_indices[..., 0] >= 0


class TrainDataset(Dataset[TrainClip | DroppedVideo | KinetError]):
    """Sample `num_segments` random frames of a video, through one random crop with their masks.

    Args:
        records: the videos.
        reader: of frames and labels.
        num_segments: T.
        crop: the crop that is drawn once for frames and masks.
        seed: with a `ClipKey` it decides the sample, whatever process reads it and however often.
        label_filter: which labels count.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        reader: FrameSource,
        num_segments: int,
        crop: MultiScaleCrop,
        seed: int,
        label_filter: LabelFilter = KEEP_ALL,
    ) -> None:
        self.records = records
        self._reader = reader
        self._num_segments = num_segments
        self._crop = crop
        self._seed = seed
        self._filter = label_filter

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: ClipKey) -> TrainClip | DroppedVideo | KinetError:
        record = self.records[key.item]
        generator = item_generator(key.item, seed=self._seed, epoch=key.epoch)
        try:
            num_frames = self._reader.num_frames(record)
            indices = sample_segments(num_frames, self._num_segments, generator)
            read = self._reader.read(record, indices)
        except VideoError as error:
            return DroppedVideo(record.video_id, error.reason.value, error.message)
        except KinetError as error:
            return error
        height, width = read.frames.shape[1:3]
        box = self._crop.draw(height, width, generator)
        size = self._crop.input_size
        has_label = torch.from_numpy(read.has_label)
        has_mask = torch.zeros_like(has_label)
        masks = torch.zeros(len(indices), size, size, dtype=torch.bool)
        if read.masks is not None:
            has_mask = has_label & torch.from_numpy(self._filter.keep_masks(read.masks))
            masks = crop_masks(resize_masks(torch.from_numpy(read.masks), height, width), box, size)
            masks = masks & has_mask[:, None, None]
        scene_indices, scene_probs = _scenes(read, has_label, self._filter)
        return TrainClip(
            frames=crop_frames(torch.from_numpy(read.frames), box, size, is_flow=self._reader.is_flow),
            masks=masks,
            scene_indices=scene_indices,
            scene_probs=scene_probs,
            has_label=has_label,
            has_mask=has_mask,
            label=record.label,
            video_id=record.video_id,
            mismatched=read.mismatched,
        )


def collate_clips(samples: Sequence[TrainClip | DroppedVideo | KinetError]) -> TrainBatch:
    """Stack the samples that could be read, and gather the others."""
    clips = [sample for sample in samples if isinstance(sample, TrainClip)]

    def stack(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors) if tensors else torch.empty(0)

    return TrainBatch(
        frames=stack([clip.frames for clip in clips]),
        masks=stack([clip.masks for clip in clips]),
        scene_indices=stack([clip.scene_indices for clip in clips]),
        scene_probs=stack([clip.scene_probs for clip in clips]),
        has_label=stack([clip.has_label for clip in clips]),
        has_mask=stack([clip.has_mask for clip in clips]),
        action=torch.tensor([clip.label for clip in clips], dtype=torch.int64),
        dropped=tuple(sample for sample in samples if isinstance(sample, DroppedVideo)),
        mismatched=tuple((clip.video_id, frame) for clip in clips for frame in clip.mismatched),
        fault=next((sample for sample in samples if isinstance(sample, KinetError)), None),
    )


class EvaluationClip(NamedTuple):
    """One video as evaluation sees it: uint8 frames [T, C, h, w], scaled but not yet cut, and its class."""

    frames: Tensor
    label: int
    video_id: str


class EvaluationDataset(Dataset[EvaluationClip | DroppedVideo | KinetError]):
    """Read the centre frames of `num_segments` equal parts of each video.

    Args:
        records: the videos.
        num_segments: frames of a video (25 in the paper).
        input_size: of the network; decides the frames' scale.
        reader: of flow; None reads frames.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        num_segments: int,
        input_size: int,
        reader: FrameSource | None = None,
    ) -> None:
        self.records = records
        self._reader = reader or ClipReader(None)
        self._num_segments = num_segments
        self._input_size = input_size

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> EvaluationClip | DroppedVideo | KinetError:
        record = self.records[index]
        try:
            indices = centre_segments(self._reader.num_frames(record), self._num_segments)
            frames = torch.from_numpy(self._reader.read(record, indices).frames)
        except VideoError as error:
            return DroppedVideo(record.video_id, error.reason.value, error.message)
        except KinetError as error:
            return error
        return EvaluationClip(scale_for_test(frames, self._input_size), record.label, record.video_id)


def _scenes(read: LabelledFrames, has_label_T: Tensor, label_filter: LabelFilter) -> tuple[Tensor, Tensor]:
    """Return scene classes and probabilities of the frames, with -1 and 0 where a frame has no scene label."""
    shape = (len(has_label_T), NUM_SCENE_LABELS)
    indices, probs = torch.full(shape, -1, dtype=torch.int64), torch.zeros(shape)
    if read.scene_indices is not None and read.scene_probs is not None:
        kept_T = has_label_T & torch.from_numpy(label_filter.keep_scenes(read.scene_probs))
        indices[kept_T] = torch.from_numpy(read.scene_indices)[kept_T]
        probs[kept_T] = torch.from_numpy(read.scene_probs)[kept_T]
    return indices, probs
