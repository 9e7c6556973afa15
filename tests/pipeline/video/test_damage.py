"""A damaged packet makes every frame that it may have spoiled invalid, and no other."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import Reason
from pipeline.video import VideoFile, probe_video
from pipeline.video.damage import DamageTrace, tells_of_damage
from tests.videos import moving_frames, write_video

NUM_FRAMES, GROUP = 48, 12


def decode(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], VideoFile]:
    with VideoFile(path) as video:
        pairs = list(video.frames())
    return np.stack([frame for frame, _ in pairs]), np.array([valid for _, valid in pairs]), video


def spoil(path: Path, packet_number: int, *, share: float = 0.5) -> Path:
    """Blank the last part of a packet, in place; its start holds the picture's header."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    place, size = packets[packet_number].pos, packets[packet_number].size
    content = bytearray(path.read_bytes())
    blank = int(share * size)
    content[place + size - blank : place + size] = bytes(blank)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"bf": "2", "crf": "18", "x264-params": "scenecut=0"}),
        ("p.mp4", "libx264", {"bf": "0", "crf": "18", "x264-params": "scenecut=0:cabac=0"}),
        ("p.avi", "mpeg4", {"b": "2000000"}),
        ("i.avi", "mjpeg", {}),
    ],
)
@pytest.mark.parametrize("packet_number", [12, 15, 22])
def test_what_differs_is_invalid_up_to_the_next_keyframe(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], packet_number: int
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames = moving_frames(NUM_FRAMES)
    path = write_video(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt, keyframe_every=GROUP, options=options)
    intact, all_valid, _ = decode(path)
    assert all_valid.all() and len(intact) == NUM_FRAMES
    found, valid, video = decode(spoil(path, packet_number))
    assert len(found) == NUM_FRAMES
    differs = (found != intact).any(axis=(1, 2, 3))
    assert differs.any() and not (differs & valid).any()
    spoilt_group = slice(GROUP, 2 * GROUP)
    assert valid[: spoilt_group.start].all() and valid[spoilt_group.stop :].all()
    if codec == "mjpeg":
        assert np.flatnonzero(~valid).tolist() == [packet_number]
    assert video.report.fault is not None and video.report.fault[0] is Reason.CORRUPT
    assert video.report.num_corrupt == (~valid).sum()
    assert probe_video(path).message == video.report.fault[1]


def test_a_packet_that_does_not_decode_leaves_a_gap_that_is_told(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        moving_frames(NUM_FRAMES),
        codec="libx265",
        keyframe_every=GROUP,
        options={"x265-params": "log-level=none:bframes=0:scenecut=0"},
    )
    intact, _, _ = decode(path)
    found, valid, video = decode(spoil(path, 15, share=1.0))
    # HEVC gives up every picture up to the next keyframe.
    np.testing.assert_array_equal(found, np.delete(intact, range(15, 2 * GROUP), axis=0))
    assert valid.all()
    assert video.report.fault is not None and video.report.fault[0] is Reason.FRAME_COUNT


def test_the_trace_by_hand() -> None:
    """Packets 0..9 with keyframes 0 and 5; two pictures decoded after keyframe 5 are shown before it."""
    trace = DamageTrace()
    trace.begin_group(0, 0)
    trace.add(3)
    trace.begin_group(5, 7)
    shown = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 7, 6: 5, 7: 6, 8: 8, 9: 9}
    assert [number for number, pts in shown.items() if trace.reaches(number, pts)] == [3, 4, 6, 7]
    assert not trace.reaches(6, None)


def test_bookkeeping_is_no_damage() -> None:
    assert not tells_of_damage(av.logging.ERROR, "mmco: unref short failure\n")
    assert not tells_of_damage(av.logging.WARNING, "Increasing reorder buffer to 1\n")
    assert tells_of_damage(av.logging.ERROR, "error while decoding MB 3 4, bytestream 12\n")
    assert tells_of_damage(av.logging.INFO, "concealing 12 DC, 12 AC, 12 MV errors in P frame\n")
