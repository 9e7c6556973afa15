"""Synthetic images for the teachers' training, in the layouts of LIP and Places365."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from manifests.atomic import publish
from manifests.synthetic.render import render_scene_still, render_still
from manifests.synthetic.spec import SCENES, SyntheticSpec

_JPEG_QUALITY = 92


def write_lip_images(lip_dir: Path, spec: SyntheticSpec, num_train: int, num_val: int) -> None:
    """Write images with part maps in the LIP layout, to be read by `manifests.lip.read_lip`.

    Six images or more a split show all 19 parts.

    Raises:
        ManifestError: a file cannot be written.
    """
    for split, num_images in (("train", num_train), ("val", num_val)):
        image_ids = [f"synthetic_{spec.seed}_{number:06d}" for number in range(num_images)]
        for number, image_id in enumerate(image_ids):
            still = render_still(spec, split=split, number=number)
            _save_jpeg(lip_dir / "TrainVal_images" / f"{split}_images" / f"{image_id}.jpg", still.frame_HWC)
            mask_path = lip_dir / "TrainVal_parsing_annotations" / f"{split}_segmentations" / f"{image_id}.png"
            with publish(mask_path) as part_path:
                Image.fromarray(still.part_map_HW).save(part_path, format="PNG")
        # The list comes last: what it names is there.
        with publish(lip_dir / "TrainVal_images" / f"{split}_id.txt") as part_path:
            part_path.write_text("".join(f"{image_id}\n" for image_id in image_ids), encoding="utf-8")


def write_places365_images(
    places_dir: Path, spec: SyntheticSpec, num_train: int, num_val: int, *, scenes: Sequence[str] = SCENES
) -> None:
    """Write scene images as ``{train,val}/<class>/*.jpg``, to be read by `manifests.places365.read_class_folders`.

    Args:
        places_dir: made when missing.
        spec: seed and image size.
        num_train, num_val: images of all scenes together, shared out evenly.
        scenes: names of `SCENES`; all by default, more than the actions use.

    Raises:
        ValueError: a scene that cannot be drawn.
        ManifestError: a file cannot be written.
    """
    for scene in scenes:
        if scene not in SCENES:
            raise ValueError(f"scene {scene!r}: expected one of {', '.join(SCENES)}")
    for split, num_images in (("train", num_train), ("val", num_val)):
        for image_number in range(num_images):
            number, scene_number = divmod(image_number, len(scenes))
            scene = scenes[scene_number]
            frame = render_scene_still(spec, scene=scene, split=split, number=number)
            _save_jpeg(places_dir / split / scene / f"{scene}_{spec.seed}_{number:06d}.jpg", frame)


def _save_jpeg(path: Path, frame_HWC: np.ndarray) -> None:
    with publish(path) as part_path:
        Image.fromarray(frame_HWC).save(part_path, format="JPEG", quality=_JPEG_QUALITY)
