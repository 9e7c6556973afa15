"""Synthetic clips and stills: frames with exact part maps and scene ids.

Shape suffixes: T frames, H height, W width, C colour channels (RGB).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from manifests.places365 import places365_classes
from manifests.synthetic.figure import Figure, FigurePainter
from manifests.synthetic.motions import draw_style, pose_at
from manifests.synthetic.outfits import OUTFITS, draw_colours
from manifests.synthetic.scenes import draw_scene
from manifests.synthetic.spec import MOTIONS, SCENES, PlannedClip, SyntheticSpec

# Figures are drawn at twice the frame's size; the frame averages 2 × 2 pixels, which smooths its edges.
_SCALE = 2
# How far the camera may drift, in frame pixels to each side.
_DRIFT_PX = 4
_CLIP_STREAM, _STILL_STREAM, _SCENE_STREAM = range(3)


@dataclass(frozen=True)
class SyntheticClip:
    """A drawn clip.

    Attributes:
        frames_THWC: uint8 RGB [T, H, W, 3].
        part_maps_THW: uint8 [T, H, W], LIP ids 0..19, exact for every pixel's upper left quarter.
        scene_index: Places365 index.
        class_name: the action, ``motion@scene``.
    """

    frames_THWC: np.ndarray
    part_maps_THW: np.ndarray
    scene_index: int
    class_name: str


@dataclass(frozen=True)
class SyntheticStill:
    """A drawn image: frame_HWC uint8 RGB [H, W, 3], part_map_HW uint8 [H, W] of LIP ids, Places365 index."""

    frame_HWC: np.ndarray
    part_map_HW: np.ndarray
    scene_index: int


def render_clip(spec: SyntheticSpec, clip: PlannedClip) -> SyntheticClip:
    """Draw a clip; its content depends on the spec's seed and sizes and on the clip alone."""
    split_number = ("train", "test").index(clip.split)
    rng = np.random.default_rng(
        [spec.seed, _CLIP_STREAM, split_number, MOTIONS.index(clip.motion), SCENES.index(clip.scene), clip.number]
    )
    # Outfits go round, shifted from class to class, so that clothes say nothing about the action.
    outfit_number = clip.number + clip.label + 3 * split_number
    frames, part_maps = _render(spec, rng, clip.motion, clip.scene, outfit_number, spec.num_frames)
    return SyntheticClip(frames, part_maps, scene_index(clip.scene), clip.class_name)


def render_still(spec: SyntheticSpec, *, split: str, number: int) -> SyntheticStill:
    """Draw one image with a figure for the human teacher; ("train" | "val", number) choose it."""
    rng = np.random.default_rng([spec.seed, _STILL_STREAM, ("train", "val").index(split), number])
    motion, scene = MOTIONS[rng.integers(len(MOTIONS))], SCENES[rng.integers(len(SCENES))]
    frames, part_maps = _render(spec, rng, motion, scene, number, 1)
    return SyntheticStill(frames[0], part_maps[0], scene_index(scene))


def render_scene_still(spec: SyntheticSpec, *, scene: str, split: str, number: int) -> np.ndarray:
    """Draw one image of a scene for the scene teacher: uint8 RGB [H, W, 3]; most have a figure, as frames do."""
    rng = np.random.default_rng([spec.seed, _SCENE_STREAM, ("train", "val").index(split), SCENES.index(scene), number])
    motion = MOTIONS[rng.integers(len(MOTIONS))]
    has_figure = rng.random() < 0.7
    frames, _ = _render(spec, rng, motion, scene, number if has_figure else None, 1)
    return frames[0]


def scene_index(scene: str) -> int:
    """Return a scene's Places365 index."""
    return _scene_indices()[scene]


@cache
def _scene_indices() -> dict[str, int]:
    names = places365_classes()
    return {scene: names.index(scene) for scene in SCENES}


def _render(
    spec: SyntheticSpec, rng: np.random.Generator, motion: str, scene: str, outfit_number: int | None, num_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames [T, H, W, 3] and part maps [T, H, W]; no figure where `outfit_number` is None."""
    height, width = spec.height * _SCALE, spec.width * _SCALE
    margin = _DRIFT_PX * _SCALE
    scene_HWC = draw_scene(scene, rng, height=height + 2 * margin, width=width + 2 * margin)
    painter = FigurePainter(_draw_figure(rng, outfit_number or 0, height, width))
    style = draw_style(rng)
    drift = rng.uniform(-1, 1, 4)
    # One patch of sensor noise, read from a new place in each frame.
    noise = rng.normal(0, rng.uniform(1, 4), (spec.height + 32, spec.width + 32, 1)).astype(np.float32)
    frames = np.empty((num_frames, spec.height, spec.width, 3), np.uint8)
    part_maps = np.zeros((num_frames, spec.height, spec.width), np.uint8)
    for number in range(num_frames):
        time_sec = number / spec.fps
        shift = margin + margin * np.sin(drift[:2] * 2 + 1.5 * time_sec * drift[2:])
        top, left = (round(value) for value in shift)
        frame = scene_HWC[top : top + height, left : left + width]
        if outfit_number is not None:
            canvas = painter.paint(pose_at(motion, style, time_sec), canvas_height=height, canvas_width=width)
            part_of_paint, colour_of_paint = painter.tables()
            frame = frame.copy()
            drawn = np.nonzero(canvas)
            frame[drawn] = colour_of_paint[canvas[drawn]]
            part_maps[number] = part_of_paint[canvas[::_SCALE, ::_SCALE]]
        y, x = rng.integers(0, 33, 2)
        smooth = _halve(frame) + noise[y : y + spec.height, x : x + spec.width]
        frames[number] = smooth.clip(0, 255)
    return frames, part_maps


def _halve(frame_HWC: np.ndarray) -> np.ndarray:
    """Average 2 × 2 pixels: uint8 [2H, 2W, 3] to float32 [H, W, 3]."""
    rows = frame_HWC[::2].astype(np.uint16) + frame_HWC[1::2]
    return (rows[:, ::2] + rows[:, 1::2]).astype(np.float32) * 0.25


def _draw_figure(rng: np.random.Generator, outfit_number: int, height: int, width: int) -> Figure:
    body_height = float(rng.uniform(0.62, 0.85)) * height
    return Figure(
        outfit=OUTFITS[outfit_number % len(OUTFITS)],
        colours=draw_colours(rng),
        body_height=body_height,
        foot=(float(rng.uniform(0.28, 0.72)) * width, float(rng.uniform(0.92, 0.97)) * height),
        girth=float(rng.uniform(0.88, 1.2)),
    )
