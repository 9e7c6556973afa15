"""What the synthetic data set holds: its settings, and the clips that they plan."""

from dataclasses import dataclass
from typing import Literal

# Motions and scenes in the order in which a data set takes them. A class is a motion in a scene, so neither alone
# tells it.
MOTIONS = ("wave", "walk", "jumping_jack", "squat")
# Names of Places365.
SCENES = ("beach", "office", "forest_path", "street", "snowfield", "living_room")

Split = Literal["train", "test"]


@dataclass(frozen=True)
class SyntheticSpec:
    """Settings of one synthetic data set; the same settings give the same part maps and frames.

    Attributes:
        seed: any integer from 0.
        num_motions, num_scenes: classes are all pairs of the first motions and scenes (3 × 2 = 6 by default).
        videos_per_class, test_videos_per_class: in the splits "train" and "test".
        num_frames: frames of each video.
        height, width: in pixels, even (H.264 with 4:2:0 colour), 64 or more.
        fps: frames per second.
    """

    seed: int = 0
    num_motions: int = 3
    num_scenes: int = 2
    videos_per_class: int = 8
    test_videos_per_class: int = 4
    num_frames: int = 24
    height: int = 128
    width: int = 170
    fps: int = 12

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: expected 0 or more")
        # With one motion or one scene, the other alone would tell the class.
        if not 2 <= self.num_motions <= len(MOTIONS):
            raise ValueError(f"num_motions {self.num_motions}: expected 2 to {len(MOTIONS)}")
        if not 2 <= self.num_scenes <= len(SCENES):
            raise ValueError(f"num_scenes {self.num_scenes}: expected 2 to {len(SCENES)}")
        for name in ("videos_per_class", "num_frames", "fps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: expected 1 or more")
        if self.test_videos_per_class < 0:
            raise ValueError(f"test_videos_per_class {self.test_videos_per_class}: expected 0 or more")
        for name in ("height", "width"):
            if getattr(self, name) < 64 or getattr(self, name) % 2:
                raise ValueError(f"{name} {getattr(self, name)}: expected an even number, 64 or more")

    @property
    def num_classes(self) -> int:
        """Number of action classes."""
        return self.num_motions * self.num_scenes

    @property
    def scenes(self) -> tuple[str, ...]:
        """Places365 names of the scenes that the classes use."""
        return SCENES[: self.num_scenes]


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """One clip of the data set before it is drawn.

    Attributes:
        video_id: unique in the data set; also the file's stem.
        split: "train" or "test".
        label: class index, motion-major.
        motion, scene: names of `MOTIONS` and `SCENES`.
        number: position in its class and split, from 0.
    """

    video_id: str
    split: Split
    label: int
    motion: str
    scene: str
    number: int

    @property
    def class_name(self) -> str:
        """The action's name, ``motion@scene``."""
        return f"{self.motion}@{self.scene}"


def plan_clips(spec: SyntheticSpec) -> list[PlannedClip]:
    """List the clips of a data set, train before test, by class and number.

    A clip keeps its id and content when only the numbers of videos change.
    """
    splits: tuple[tuple[Split, int], ...] = (("train", spec.videos_per_class), ("test", spec.test_videos_per_class))
    return [
        PlannedClip(
            f"{motion}_{scene}_seed{spec.seed}_{split}_{number:04d}",
            split,
            motion_number * spec.num_scenes + scene_number,
            motion,
            scene,
            number,
        )
        for split, num_videos in splits
        for motion_number, motion in enumerate(MOTIONS[: spec.num_motions])
        for scene_number, scene in enumerate(spec.scenes)
        for number in range(num_videos)
    ]
