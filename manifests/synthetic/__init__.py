"""The project's own data set: drawn figures in drawn scenes, where the action is a motion in a scene.

It serves the demo and the tests, with exact part maps and scene ids; it says nothing about real video.
"""

from manifests.synthetic.render import SyntheticClip, SyntheticStill, render_clip, render_scene_still, render_still
from manifests.synthetic.spec import MOTIONS, SCENES, PlannedClip, SyntheticSpec, plan_clips
from manifests.synthetic.stills import write_lip_images, write_places365_images
from manifests.synthetic.videos import write_synthetic

__all__ = [
    "MOTIONS",
    "SCENES",
    "PlannedClip",
    "SyntheticClip",
    "SyntheticSpec",
    "SyntheticStill",
    "plan_clips",
    "render_clip",
    "render_scene_still",
    "render_still",
    "write_lip_images",
    "write_places365_images",
    "write_synthetic",
]
