"""The synthetic data set: deterministic, complete, exact, and real video files."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from manifests.lip import PART_NAMES, read_lip
from manifests.places365 import places365_classes, places365_indices, read_class_folders
from manifests.synthetic import (
    SCENES,
    SyntheticSpec,
    plan_clips,
    render_clip,
    write_lip_images,
    write_places365_images,
    write_synthetic,
)

SMALL = SyntheticSpec(seed=3, videos_per_class=1, test_videos_per_class=1, num_frames=4, height=96, width=128)


def test_every_part_appears_in_each_split() -> None:
    for split in ("train", "test"):
        seen = np.zeros(20, bool)
        for clip in plan_clips(SMALL):
            if clip.split == split:
                seen[np.unique(render_clip(SMALL, clip).part_maps_THW)] = True
        assert [PART_NAMES[part] for part in np.flatnonzero(~seen)] == []


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    clip = plan_clips(SMALL)[0]
    first, again = render_clip(SMALL, clip), render_clip(SMALL, clip)
    np.testing.assert_array_equal(first.frames_THWC, again.frames_THWC)
    np.testing.assert_array_equal(first.part_maps_THW, again.part_maps_THW)
    other = render_clip(replace(SMALL, seed=4), clip)
    assert (first.frames_THWC != other.frames_THWC).mean() > 0.5


def test_clips_keep_their_content_when_more_are_asked_for() -> None:
    more = replace(SMALL, videos_per_class=3, test_videos_per_class=2)
    assert set(plan_clips(SMALL)) < set(plan_clips(more))
    clip = plan_clips(SMALL)[-1]
    np.testing.assert_array_equal(render_clip(SMALL, clip).frames_THWC, render_clip(more, clip).frames_THWC)


def test_shapes_types_and_ids() -> None:
    clip = plan_clips(SMALL)[1]
    drawn = render_clip(SMALL, clip)
    assert drawn.frames_THWC.shape == (4, 96, 128, 3)
    assert drawn.part_maps_THW.shape == (4, 96, 128)
    assert drawn.frames_THWC.dtype == drawn.part_maps_THW.dtype == np.uint8
    assert drawn.part_maps_THW.max() < len(PART_NAMES)
    assert places365_classes()[drawn.scene_index] == clip.scene
    assert drawn.class_name == f"{clip.motion}@{clip.scene}"
    # The figure is there, moves, and leaves most of the scene in view.
    shares = (drawn.part_maps_THW > 0).mean(axis=(1, 2))
    assert ((shares > 0.03) & (shares < 0.4)).all()
    assert (drawn.part_maps_THW[0] != drawn.part_maps_THW[-1]).any()


def test_part_maps_fit_the_pixels() -> None:
    """Within a part, inside its edge, colours are the few flat ones of its paint: far less varied than the scene."""
    spec = replace(SMALL, num_frames=1)
    for clip in plan_clips(spec)[:6]:
        drawn = render_clip(spec, clip)
        parts, frame = drawn.part_maps_THW[0], drawn.frames_THWC[0].astype(float)
        centre = parts[1:-1, 1:-1]
        inside = centre > 0
        for row in (0, 1, 2):
            for column in (0, 1, 2):
                inside &= parts[row : row + 94, column : column + 126] == centre
        vertical = np.abs(np.diff(frame, axis=0)).mean(axis=2)[:94, 1:127]
        assert np.median(vertical[inside]) < 8


def test_neither_motion_nor_scene_alone_tells_the_class() -> None:
    clips = plan_clips(SMALL)
    for attribute in ("motion", "scene"):
        labels = {value: {clip.label for clip in clips if getattr(clip, attribute) == value} for value in
                  {getattr(clip, attribute) for clip in clips}}  # fmt: skip
        assert all(len(found) > 1 for found in labels.values())
    assert {clip.label for clip in clips} == set(range(SMALL.num_classes))
    assert len({(clip.motion, clip.scene) for clip in clips}) == SMALL.num_classes


def test_files_are_real_h264_videos_of_what_was_drawn(tmp_path: Path) -> None:
    draft = write_synthetic(tmp_path, SMALL)
    clips = {clip.video_id: clip for clip in plan_clips(SMALL)}
    assert len(draft.records) == len(clips)
    for record in draft.records[:3]:
        with av.open(record.path) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert frames.shape == (record.num_frames, record.height, record.width, 3)
        drawn = render_clip(SMALL, clips[record.video_id]).frames_THWC
        assert np.abs(frames.astype(int) - drawn.astype(int)).mean() < 8


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_synthetic(tmp_path / name, SMALL).records for name in ("a", "b"))
    assert [record.path.read_bytes() for record in first] == [record.path.read_bytes() for record in second]


def test_a_second_call_keeps_what_is_intact_and_mends_the_rest(tmp_path: Path) -> None:
    records = write_synthetic(tmp_path, SMALL).records
    whole = [record.path.read_bytes() for record in records]
    records[0].path.write_bytes(whole[0][: len(whole[0]) // 2])
    records[1].path.write_bytes(b"")
    records[2].path.unlink()
    records[3].path.write_bytes(whole[4])
    untouched = {record.path: record.path.stat().st_mtime_ns for record in records[4:]}
    assert write_synthetic(tmp_path, SMALL).records == records
    assert [record.path.read_bytes() for record in records] == whole
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    assert not list(tmp_path.rglob("*.part"))
    # Other settings, other content.
    write_synthetic(tmp_path, replace(SMALL, num_frames=3))
    assert records[0].path.read_bytes() != whole[0]


def test_lip_images(tmp_path: Path) -> None:
    write_lip_images(tmp_path, SMALL, 6, 6)
    for split in ("train", "val"):
        pairs = read_lip(tmp_path, split)
        assert len(pairs.images) == 6
        assert not pairs.without_mask
        maps = [_pixels(pair.mask_path) for pair in pairs.images]
        assert {int(part) for part_map in maps for part in np.unique(part_map)} == set(range(20))
        assert all(
            _pixels(pair.image_path).shape == (*part_map.shape, 3)
            for pair, part_map in zip(pairs.images, maps, strict=True)
        )
    train, val = (read_lip(tmp_path, split).images[0].image_path.read_bytes() for split in ("train", "val"))
    assert train != val


def test_scene_images(tmp_path: Path) -> None:
    write_places365_images(tmp_path, SMALL, 13, 6)
    train, val = read_class_folders(tmp_path / "train"), read_class_folders(tmp_path / "val")
    assert train.class_names == val.class_names == sorted(SCENES)
    assert (len(train.images), len(val.images)) == (13, 6)
    assert None not in places365_indices(train.class_names)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("num_motions", 1),
        ("num_scenes", 99),
        ("height", 97),
        ("width", 32),
        ("videos_per_class", 0),
        ("fps", 0),
    ],
)
def test_settings_that_cannot_be_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} {value}"):
        SyntheticSpec(**{field: value})


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)
