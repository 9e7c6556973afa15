"""One video of a data set, as every floor passes it on."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """What a manifest row says of one video.

    Attributes:
        video_id: unique in its manifest; no line breaks.
        path: the video file. Relative paths of a manifest file are resolved against the manifest's folder when read.
        split: the official split ("train", "val", "test"), of the first fold where a data set has several.
        label: class index, 0-based.
        class_name: the class's official name.
        num_frames: frames of a full sequential decode; None until probed.
        fps: average frames per second; None until probed.
        height, width: display size in pixels; None until probed.
        fold_splits: the split in fold 2, 3, ... for data sets with several official folds (UCF-101, J-HMDB), else ().
    """

    video_id: str
    path: Path
    split: str
    label: int
    class_name: str
    num_frames: int | None = None
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    fold_splits: tuple[str, ...] = ()

    def split_in_fold(self, fold: int) -> str:
        """Return the split in a fold counted from 1; raise ValueError where the data set has no such fold."""
        if not 1 <= fold <= 1 + len(self.fold_splits):
            num_folds = 1 + len(self.fold_splits)
            raise ValueError(f"video {self.video_id}: fold {fold} asked for, the manifest has {num_folds}")
        return self.split if fold == 1 else self.fold_splits[fold - 2]
