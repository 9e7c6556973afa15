"""Frame i is the i-th picture that was encoded, whatever codec, container, size or header the file has."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import Reason
from pipeline.video import VideoFile, read_frames
from pipeline.video.report import DecodeReport, find_fault, settle_count
from pipeline.video.second_opinion import NoCount, SecondCount
from tests.pipeline.video.numbered import PATCHES, numbered_frames, read_number, read_patches
from tests.videos import write_video

B_FRAMES = {"bf": "2", "x264-params": "log-level=none"}


def decode(path: Path) -> tuple[list[int | None], NDArray[np.uint8], list[bool], DecodeReport]:
    """Decode in order; return the pictures' numbers, the pictures, their validity and the report."""
    with VideoFile(path) as video:
        pairs = [(frame, valid) for frame, valid in video.frames()]
        for _ in video.settling():
            pass
    frames = np.stack([frame for frame, _ in pairs])
    return [read_number(frame) for frame in frames], frames, [valid for _, valid in pairs], video.report


def assert_whole(path: Path, expected: Sequence[int], *, note: bool = False) -> None:
    """Check that a file holds exactly these pictures, that nothing is held against it, and that reading agrees."""
    numbers, frames, valid, report = decode(path)
    assert numbers == list(expected)
    assert all(valid) and report.fault is None
    assert (report.note is not None) == note, report.note
    wanted = np.random.default_rng(0).integers(0, len(numbers), 20)
    np.testing.assert_array_equal(read_frames(path, wanted), frames[wanted])


def remux(source: Path, target: Path, edit: Callable[[av.Packet], bool]) -> Path:
    """Copy the video stream's packets that `edit` keeps, as it leaves them."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size and edit(packet):
                packet.stream = stream
                writer.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("b.mp4", "libx264", "yuv420p", B_FRAMES),
        ("open.mkv", "libx264", "yuv420p", {"bf": "2", "x264-params": "open-gop=1:keyint=12:log-level=none"}),
        ("interlaced.mp4", "libx264", "yuv420p", {"flags": "+ilme+ildct", "x264-params": "tff=1:log-level=none"}),
        ("hevc.mp4", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
        ("hevc10.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("av1.mp4", "libsvtav1", "yuv420p10le", {"preset": "8", "crf": "20"}),
        ("vp9.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
        ("vp9-alpha.webm", "libvpx-vp9", "yuva420p", {"deadline": "realtime"}),
        ("b.avi", "mpeg4", "yuv420p", {"bf": "2"}),
        ("b-mpeg4.mp4", "mpeg4", "yuv420p", {"bf": "2"}),
        ("mpeg2.ts", "mpeg2video", "yuv420p", {"bf": "2"}),
        ("mjpeg.avi", "mjpeg", "yuvj420p", {}),
        ("a.gif", "gif", "rgb8", {}),
        ("alpha.mov", "qtrle", "argb", {}),
        ("lossless.mkv", "ffv1", "yuv444p", {}),
    ],
)
def test_codecs(tmp_path: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str]) -> None:
    frames = numbered_frames(range(40))
    assert_whole(write_video(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt, options=options), range(40))


@pytest.mark.parametrize(("height", "width"), [(97, 131), (320, 180), (2160, 3840), (16, 16)])
def test_sizes(tmp_path: Path, height: int, width: int) -> None:
    frames = numbered_frames(range(5), height, width)
    options = {"preset": "ultrafast", "crf": "10"}
    assert_whole(write_video(tmp_path / "a.mp4", frames, pix_fmt="yuv444p", options=options), range(5))


def test_frames_count_not_time(tmp_path: Path) -> None:
    """At a variable frame rate nothing is repeated or dropped to even it out."""
    pts = [index * index for index in range(30)]
    assert_whole(write_video(tmp_path / "vfr.mp4", numbered_frames(range(30)), pts=pts), range(30))


def test_times_before_zero(tmp_path: Path) -> None:
    """Matroska's are read as no times at all; the frames are there all the same."""
    path = write_video(
        tmp_path / "early.mkv",
        numbered_frames(range(30)),
        pts=range(-20, 10),
        container_options={"avoid_negative_ts": "disabled"},
    )
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).pts is None
    assert_whole(path, range(30))


def test_an_edit_list_hides_what_a_copied_cut_had_to_take_along(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", numbered_frames(range(60)), options=B_FRAMES)
    with av.open(str(whole)) as container:
        tick = 1 / (25 * container.streams.video[0].time_base)
    first = int(31 * tick)

    def cut(packet: av.Packet) -> bool:
        assert packet.pts is not None and packet.dts is not None
        keep = packet.pts >= 24 * tick
        packet.pts, packet.dts = packet.pts - first, packet.dts - first
        return keep

    path = remux(whole, tmp_path / "cut.mp4", cut)
    assert_whole(path, range(31, 60))
    with VideoFile(path) as video:
        assert video.report.declared_frames == 36


def test_an_edit_list_hides_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "trimmed.mp4", numbered_frames(range(60)), options=B_FRAMES)
    content = bytearray(path.read_bytes())
    place = content.find(b"elst") + 12
    duration = int.from_bytes(content[place : place + 4], "big")
    content[place : place + 4] = (duration // 2).to_bytes(4, "big")
    path.write_bytes(content)
    assert_whole(path, range(30), note=True)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (320, 180)], ids=["landscape", "portrait"])
@pytest.mark.parametrize(
    ("quarter_turns", "matrix"), [(1, (0, 1, -1, 0)), (2, (-1, 0, 0, -1)), (3, (0, -1, 1, 0))], ids=[90, 180, 270]
)
def test_frames_stand_as_a_player_shows_them(
    tmp_path: Path, height: int, width: int, quarter_turns: int, matrix: tuple[int, ...]
) -> None:
    lying = np.rot90(numbered_frames(range(5), height, width), quarter_turns, axes=(1, 2))
    path = write_video(tmp_path / "phone.mp4", lying)
    content = bytearray(path.read_bytes())
    place = content.find(b"tkhd") + 44
    a, b, c, d = (value * 65536 for value in matrix)
    content[place : place + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 30))
    path.write_bytes(content)
    assert_whole(path, range(5))


@pytest.mark.parametrize("colour_range", ["MPEG", "JPEG"])
@pytest.mark.parametrize("colour_space", ["ITU601", "ITU709"])
def test_colours_follow_their_tags(tmp_path: Path, colour_space: str, colour_range: str) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv444p"
        stream.codec_context.color_range = av.video.reformatter.ColorRange[colour_range]
        stream.codec_context.colorspace = {"ITU601": 6, "ITU709": 1}[colour_space]
        for image in numbered_frames(range(3)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv444p", dst_colorspace=colour_space, dst_color_range=colour_range
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = read_patches(read_frames(path, [0])[0])
    for name, colour in PATCHES.items():
        assert np.abs(found[name] - colour).max() < 5, name


@pytest.mark.parametrize("colour_space", [1, 3, 8, 10])
@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "yuv420p", "yuv444p", "bgr0"])
def test_gray_stays_gray_whatever_its_tag(tmp_path: Path, pixel_format: str, colour_space: int) -> None:
    """Tags that swscale cannot convert, and pictures that have no colours to be converted."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, pixel_format
        stream.codec_context.colorspace = colour_space
        gray = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 120, np.uint8), format="rgb24")
        for _ in range(3):
            container.mux(stream.encode(gray.reformat(format=pixel_format)))
        container.mux(stream.encode(None))
    frames = read_frames(path, range(3)).astype(int)
    assert np.ptp(frames, axis=-1).max() <= (2 if "yuv" in pixel_format else 0) and abs(frames.mean() - 120) < 2


def test_wide_pixels_are_not_stretched_twice(tmp_path: Path) -> None:
    """A frame is the whole coded picture resized to 256 x 340, whatever the shape of its pixels."""
    frames = numbered_frames(range(3))
    square = write_video(tmp_path / "square.mp4", frames)
    wide = write_video(tmp_path / "wide.mp4", frames, options={"aspect": "4:1"})
    np.testing.assert_array_equal(read_frames(wide, range(3)), read_frames(square, range(3)))


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.h264", numbered_frames(range(20)))
    large = write_video(tmp_path / "large.h264", numbered_frames(range(20, 40), 144, 192))
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    assert_whole(path, range(40))


def test_a_cover_picture_is_no_video_and_the_first_video_counts(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        streams = []
        for codec, first in (("png", 99), ("libx264", 0), ("libx264", 50)):
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = 96, 128
            stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
            streams.append((stream, numbered_frames(range(first, first + (1 if codec == "png" else 20)))))
        streams[0][0].disposition = av.stream.Disposition.attached_pic
        for stream, frames in streams:
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    assert_whole(path, range(20))


def test_a_file_that_begins_between_keyframes(tmp_path: Path) -> None:
    """What stands before the first keyframe is no picture in any decoder; the rest is the video."""
    whole = write_video(tmp_path / "whole.ts", numbered_frames(range(40)), options={"bf": "0"})
    seen = iter(range(40))
    path = remux(whole, tmp_path / "late.ts", lambda _: next(seen) >= 5)
    assert_whole(path, range(12, 40), note=True)


def test_a_cut_at_an_open_group_of_pictures(tmp_path: Path) -> None:
    """Pictures that lean on what was cut off are none; those after the keyframe are all there, undamaged."""
    options = {"bf": "2", "x264-params": "open-gop=1:keyint=12:b-adapt=0:log-level=none"}
    whole = write_video(tmp_path / "whole.ts", numbered_frames(range(60)), options=options)
    seen = iter(range(60))
    numbers, _, valid, report = decode(remux(whole, tmp_path / "late.ts", lambda _: next(seen) >= 17))
    assert numbers == list(range(int(str(numbers[0])), 60)) and len(numbers) >= 30
    assert all(valid) and report.fault is None


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "a.mp4", numbered_frames(range(10)))
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff.mp4"))
    plain.rename(path)
    assert_whole(path, range(10))


def test_a_header_that_overstates_an_intact_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", numbered_frames(range(20)), codec="mpeg4")
    content = bytearray(path.read_bytes())
    place = content.find(b"strh") + 40
    assert content[place : place + 4] == (20).to_bytes(4, "little")
    content[place : place + 4] = (25).to_bytes(4, "little")
    path.write_bytes(content)
    assert_whole(path, range(20), note=True)


def test_a_picture_lost_between_others_is_missed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", numbered_frames(range(40)), codec="mpeg4")
    content = bytearray(path.read_bytes())
    content[content.find(b"00dc", len(content) // 2)] ^= 1
    path.write_bytes(content)
    numbers, _, _, report = decode(path)
    assert len(numbers) == 39
    assert report.fault is not None and report.fault[0] is Reason.TRUNCATED
    assert "the index lists 40 frames, the file holds 39" in report.fault[1]


def test_the_second_opinion() -> None:
    report = DecodeReport(num_frames=58, num_packets=58, declared_frames=60)
    fault, note = settle_count(report, SecondCount(58, 60))
    assert fault is None and note is not None and "58 frames decode" in note and "declares 60" in note
    no, unknown = NoCount(True, "it cannot read"), NoCount(False, "it hangs")
    expected = {SecondCount(50, 50): "frame_count", no: "frame_count", unknown: "count_unknown"}
    for second, reason in expected.items():
        fault, note = settle_count(report, second)
        assert note is None and fault is not None and fault[0] == reason
        assert "58 frames decode" in fault[1] and "declares 60" in fault[1]


def test_packets_without_a_picture_are_told_whatever_decord_says() -> None:
    report = DecodeReport(
        num_frames=59, num_packets=60, num_indexed=60, declared_frames=60, num_pictureless=1, num_corrupt=3
    )
    fault = find_fault(report, None, 0.0)
    assert fault is not None and fault[0] is Reason.FRAME_COUNT and "1 of 60 packets give no picture" in fault[1]
