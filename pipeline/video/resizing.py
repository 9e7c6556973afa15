"""The one resize of a frame, part of the labels' definition: from the picture as it is coded to RGB of 256 x 340."""

import functools

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

FRAME_HEIGHT = 256
FRAME_WIDTH = 340
FRAME_RESIZE = f"{FRAME_HEIGHT}x{FRAME_WIDTH} swscale bilinear, YUV in yuv420p"

# The matrices of YUV that swscale knows, by the numbers of ISO/IEC 23091-2.
_UNTAGGED = 2
_COLOUR_SPACES = frozenset({0, 1, _UNTAGGED, 4, 5, 6, 7, 9})


class FrameResizer:
    """Resizes the frames of one video; not for several threads.

    Args:
        height, width: of what comes out, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self._height = height
        self._width = width
        # One a step: each keeps the tables of its last conversion.
        self._reformatters = VideoReformatter(), VideoReformatter()

    def resize_into(self, frame: av.VideoFrame, pixels: NDArray[np.uint8]) -> None:
        """Resize a frame, turned as the container asks of a player, into uint8 RGB [height, width, 3]."""
        quarter_turns = round(frame.rotation / 90) % 4
        sideways = quarter_turns % 2 == 1
        width, height = (self._height, self._width) if sideways else (self._width, self._height)
        if frame.colorspace not in _COLOUR_SPACES:
            frame.colorspace = _UNTAGGED
        # In two steps swscale takes half the time of one, and comes nearer to its own exact conversion.
        steps = ("yuv420p", "rgb24") if _is_yuv(frame.format.name) else ("rgb24",)
        small = frame
        for step, reformatter in zip(steps, self._reformatters, strict=False):
            small = reformatter.reformat(
                small, width=width, height=height, format=step, interpolation=Interpolation.BILINEAR, threads=1
            )
        plane = small.planes[0]
        # A row of the plane is as long as the scaler likes it.
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(small.height, plane.line_size)[:, : 3 * small.width]
        pixels[:] = np.rot90(rows.reshape(small.height, small.width, 3), quarter_turns)


@functools.cache
def _is_yuv(pixel_format: str) -> bool:
    """Tell whether a picture is brightness and two colours: not red, green and blue, a palette, or brightness alone."""
    found = av.VideoFormat(pixel_format)
    return len(found.components) >= 3 and not found.is_rgb and not found.has_palette
