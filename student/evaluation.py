"""Score videos: many frames, many crops, the backbone once an image, the graph once a window.

Shape suffixes: T frames of a video, W windows, N segments of a window, K classes, S input size.
Source: paper section 4.1; TSN's 25 frames x 10 crops.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import KinetError
from pipeline.signals import interruptible
from pipeline.training.precision import autocast
from pipeline.training.runlog import RunProgress
from student.build import Student
from student.dataset import DroppedVideo, EvaluationClip, EvaluationDataset
from student.loading import read_one_by_one
from student.normalisation import normalise
from student.options import check_choice
from student.scores import MissingVideo, Scores
from student.transforms import cut_crop, evaluation_boxes

Windows = Literal["sliding", "strided"]


@dataclass(frozen=True)
class Views:
    """How a video is looked at.

    Attributes:
        num_segments: frames of a video (T).
        num_crops: of a frame: 10, 3 or 1.
        window_size: frames of a window (N), the student's `num_segments`.
        windows: "sliding" takes neighbouring frames with stride 1; "strided" spreads a window over the video.
        input_size: of the network (S).
        modality: "rgb", or "flow".
    """

    num_segments: int = 25
    num_crops: int = 10
    window_size: int = 3
    windows: Windows = "sliding"
    input_size: int = 224
    modality: str = "rgb"

    def __post_init__(self) -> None:
        check_choice("windows", self.windows, ("sliding", "strided"))
        if self.num_crops not in (1, 3, 10):
            raise ValueError(f"crops: expected 10, 3 or 1, found {self.num_crops}")
        if not 1 <= self.window_size <= self.num_segments:
            raise ValueError(f"segments: expected at least {self.window_size}, one window; found {self.num_segments}")


def window_indices(views: Views) -> Tensor:
    """List the frames of each window: int64 [W, N].

    Sliding: {i, i+1, ..., i+N-1}, 23 windows for 25 frames and N = 3. Strided: {i, i+8, i+16}, 9 windows.
    """
    stride = 1 if views.windows == "sliding" else views.num_segments // views.window_size
    num_windows = views.num_segments - (views.window_size - 1) * stride
    return torch.arange(num_windows)[:, None] + torch.arange(views.window_size)[None, :] * stride


@torch.inference_mode()
def score_clip(model: Student, frames_TCHW: Tensor, views: Views, *, precision: str = "float32") -> Tensor:
    """Score one video: the mean of its logits over windows and crops.

    Args:
        model: in evaluation mode, on the frames' device.
        frames_TCHW: uint8 [T, C, h, w], scaled for the test crops.
        views: T must be its `num_segments`.
        precision: see `pipeline.training.precision.autocast`.

    Returns:
        float32 [K] on the CPU.
    """
    device = frames_TCHW.device
    indices_WN = window_indices(views).to(device)
    height, width = frames_TCHW.shape[-2:]
    logits_K: list[Tensor] = []
    for box in evaluation_boxes(height, width, views.input_size, views.num_crops):
        with autocast(precision, device):
            crop_TCSS = cut_crop(frames_TCHW, box, is_flow=views.modality == "flow")
            features = model.extract_features(normalise(crop_TCSS, model.normalisation))
            logits_WK = model.classify_segments(features.gather(indices_WN))
        logits_K.append(logits_WK.float().mean(dim=0))
    return torch.stack(logits_K).mean(dim=0).cpu()


def evaluate_model(
    model: Student,
    dataset: EvaluationDataset,
    views: Views,
    *,
    device: torch.device,
    precision: str = "auto",
    loader_workers: int = 0,
    left_out: Sequence[DroppedVideo] = (),
) -> Scores:
    """Score every video of a data set as `score_videos` does, showing progress; a signal ends it.

    `left_out` are videos that are not in the data set because of a fault; they are listed with the others.

    Raises:
        InterruptedRun: SIGINT or SIGTERM.
    """
    with (
        interruptible("no scores were written"),
        RunProgress("evaluate", total=len(dataset), unit="videos", line_every=20) as progress,
    ):
        scores = score_videos(
            model,
            dataset,
            views,
            device=device,
            precision=precision,
            loader_workers=loader_workers,
            on_progress=lambda done, missing: progress.update(done, f"{missing} missing" if missing else ""),
        )
    return Scores.join([scores], [MissingVideo(*video) for video in left_out])


def score_videos(
    model: Student,
    dataset: EvaluationDataset,
    views: Views,
    *,
    device: torch.device,
    precision: str = "auto",
    loader_workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, missing: None,
) -> Scores:
    """Score every video of a data set; those that cannot be read are listed with their reason.

    The model is put into evaluation mode on `device`. The data set's `num_segments` must be the views'.
    `on_progress` is called with the videos done and those among them that are missing.

    Raises:
        ShardError: a shard of flow is damaged.
        LoadingError: a reading process died.
    """
    model.to(device).eval()
    video_ids: list[str] = []
    logits_VK: list[Tensor] = []
    labels: list[int] = []
    missing: list[MissingVideo] = []
    items: Iterator[EvaluationClip | DroppedVideo | KinetError] = read_one_by_one(
        dataset, loader_workers=loader_workers
    )
    for done, item in enumerate(items, start=1):
        if isinstance(item, KinetError):
            raise item
        if isinstance(item, DroppedVideo):
            missing.append(MissingVideo(*item))
        else:
            logits_VK.append(score_clip(model, item.frames.to(device), views, precision=precision))
            video_ids.append(item.video_id)
            labels.append(item.label)
        on_progress(done, len(missing))
    logits = torch.stack(logits_VK).numpy() if logits_VK else np.empty((0, 0), np.float32)
    return Scores(tuple(video_ids), logits, np.array(labels, dtype=np.int64), tuple(missing))
