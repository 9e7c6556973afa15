"""Every frame once, in order, and every fault with its reason."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import Reason, VideoError
from pipeline.video import VideoFile, hash_frames, is_seek_exact, probe_video, read_frames
from tests.videos import moving_frames, write_audio, write_video

REAL_DATA = os.environ.get("KINET_REAL_DATA")


def decode_all(path: Path) -> tuple[np.ndarray, VideoFile]:
    with VideoFile(path) as video:
        frames = np.stack([frame for frame, _ in video.frames()])
    return frames, video


def count_with_libav(path: Path) -> int:
    """Count frames by a plain loop of the library's own."""
    with av.open(str(path), metadata_errors="ignore") as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9")]
)
def test_read_frames_equals_the_in_order_decode(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, moving_frames(40), codec=codec)
    frames, video = decode_all(path)
    assert frames.shape == (40, 256, 340, 3)
    assert video.report.fault is None
    wanted = np.random.default_rng(1).integers(0, 40, 20)
    np.testing.assert_array_equal(read_frames(path, wanted), frames[wanted])
    if is_seek_exact(path, video.report, hash_frames(frames)):
        np.testing.assert_array_equal(read_frames(path, wanted, seek=True), frames[wanted])


def test_seeking_holds_for_a_file_with_b_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", moving_frames(60), options={"bf": "3"}, keyframe_every=20)
    frames, video = decode_all(path)
    assert is_seek_exact(path, video.report, hash_frames(frames))
    np.testing.assert_array_equal(read_frames(path, [59, 0, 31, 31], seek=True), frames[[59, 0, 31, 31]])


def test_a_wrong_hash_refuses_seeking(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", moving_frames(30))
    frames, video = decode_all(path)
    assert not is_seek_exact(path, video.report, hash_frames(frames[::-1].copy()))


def test_resize_keeps_colours_in_place(tmp_path: Path) -> None:
    frames = np.zeros((3, 128, 170, 3), dtype=np.uint8)
    frames[:, :64, :, 0] = 255
    frames[:, 64:, :, 2] = 255
    path = write_video(tmp_path / "halves.mp4", frames, options={"crf": "4"})
    pixels = read_frames(path, [0])[0].astype(int)
    assert pixels[:120].mean((0, 1))[0] > 230 and pixels[:120].mean((0, 1))[2] < 25
    assert pixels[136:].mean((0, 1))[2] > 230 and pixels[136:].mean((0, 1))[0] < 25


@pytest.mark.parametrize("share", [0.4, 0.7])
@pytest.mark.parametrize("container_options", [{"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}])
def test_a_cut_file_is_not_the_whole_video(tmp_path: Path, share: float, container_options: dict[str, str]) -> None:
    frames = moving_frames(120, seed=3)
    path = write_video(tmp_path / "whole.mp4", frames, container_options=container_options)
    content = path.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(len(content) * share)])
    probe = probe_video(cut)
    assert not probe.complete and probe.reason in (Reason.TRUNCATED, Reason.FRAME_COUNT)
    assert 0 < probe.num_frames < 120
    assert probe_video(path).complete


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    assert probe_video(write_video(tmp_path / "one.mp4", moving_frames(1))).num_frames == 1


def test_faults_have_their_reason(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("not a video\n" * 100)
    reasons = {}
    for path in (tmp_path / "absent.mp4", empty, text, write_audio(tmp_path / "audio.mp4")):
        with pytest.raises(VideoError) as caught:
            read_frames(path, [0])
        assert str(path) in str(caught.value)
        reasons[path.stem] = caught.value.reason
    assert reasons == {
        "absent": Reason.MISSING,
        "empty": Reason.EMPTY_FILE,
        "text": Reason.UNREADABLE,
        "audio": Reason.NO_VIDEO_STREAM,
    }


def test_metadata_that_is_not_utf8_is_no_fault(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving_frames(10), codec="mpeg4", metadata=[("title", "XXXXXXXX")])
    path.write_bytes(path.read_bytes().replace(b"XXXXXXXX", b"\xe9\xff\xfe\xe8\x80\x81\xc0\xc1"))
    assert probe_video(path).num_frames == 10


@pytest.mark.parametrize("seek", [False, True])
def test_an_index_past_the_end_is_named(tmp_path: Path, seek: bool) -> None:
    path = write_video(tmp_path / "a.mp4", moving_frames(10))
    with pytest.raises(ValueError, match="frame 10 asked for, the video decodes to 10 frames"):
        read_frames(path, [3, 10], seek=seek)
    with pytest.raises(ValueError, match="counted from 0"):
        read_frames(path, [-1], seek=seek)


def test_hash_tells_neighbours_apart_and_is_a_function_of_the_pixels(tmp_path: Path) -> None:
    frames = read_frames(write_video(tmp_path / "a.mp4", moving_frames(30)), range(30))
    hashes = hash_frames(frames)
    assert (hashes[1:] != hashes[:-1]).all()
    np.testing.assert_array_equal(hash_frames(frames[7:9]), hashes[7:9])


def test_hash_by_hand() -> None:
    """Brightness falls from left to right in row 0 and rises elsewhere: the first eight bits are 1, all others 0."""
    columns = np.repeat(np.arange(9) * 20, [37, 38, 38, 38, 37, 38, 38, 38, 38])
    frame = np.repeat(np.repeat(columns[None, :, None], 3, axis=2), 256, axis=0).astype(np.uint8)
    frame[:32] = 180 - frame[:32]
    assert hash_frames(frame[None])[0] == 0xFF00000000000000


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(REAL_DATA is None, reason="KINET_REAL_DATA does not name the folder of real videos")
def test_real_clips_decode_to_their_full_count() -> None:
    folder = Path(str(REAL_DATA))
    chosen = np.random.default_rng(0).permutation(sorted((folder / "jhmdb" / "videos").glob("*/*.mp4")))[:30]
    clips = sorted((folder / "clips").iterdir())
    assert len(clips) and len(chosen) == 30
    for path in [*clips, *chosen]:
        frames, video = decode_all(path)
        assert video.report.fault is None, path
        assert video.report.num_corrupt == 0
        assert len(frames) == count_with_libav(path)
        wanted = np.random.default_rng(0).integers(0, len(frames), 20)
        np.testing.assert_array_equal(read_frames(path, wanted), frames[wanted])
        if is_seek_exact(path, video.report, hash_frames(frames)):
            np.testing.assert_array_equal(read_frames(path, wanted, seek=True), frames[wanted])
