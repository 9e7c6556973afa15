"""Pictures that carry their number, so that a decoded frame says which source frame it is."""

import numpy as np
from numpy.typing import NDArray

NUM_BITS = 12
_COLUMNS = 6
_DARK, _LIGHT = 32, 224
# The lower half, left to right; colours that every matrix and range can carry.
PATCHES = {"red": (200, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 200), "grey": (128, 128, 128)}


def numbered_frames(numbers: range, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Draw one picture for each number below 4,096: uint8 [n, height, width, 3].

    The upper half holds the number's bits in two rows of six blocks, most significant first; the lower half four colour
    patches. Upside down, mirrored or on its side, no picture reads as a number.
    """
    frames = np.empty((len(numbers), height, width, 3), dtype=np.uint8)
    row_edges = np.arange(5) * height // 4
    column_edges = np.arange(_COLUMNS + 1) * width // _COLUMNS
    patch_edges = np.arange(len(PATCHES) + 1) * width // len(PATCHES)
    for frame, number in zip(frames, numbers, strict=True):
        for bit in range(NUM_BITS):
            row, column = divmod(bit, _COLUMNS)
            light = number >> (NUM_BITS - 1 - bit) & 1
            frame[row_edges[row] : row_edges[row + 1], column_edges[column] : column_edges[column + 1]] = (
                _LIGHT if light else _DARK
            )
        for patch, colour in enumerate(PATCHES.values()):
            frame[row_edges[2] :, patch_edges[patch] : patch_edges[patch + 1]] = colour
    return frames


def read_number(frame: NDArray[np.uint8]) -> int | None:
    """Read a picture's number from uint8 [H, W, 3] of any size; None where the picture does not stand upright."""
    patches = read_patches(frame)
    upright = all(int(np.argmax(patches[name])) == channel for channel, name in enumerate(("red", "green", "blue")))
    if not upright:
        return None
    number = 0
    for bit in range(NUM_BITS):
        row, column = divmod(bit, _COLUMNS)
        number = number << 1 | int(_cell(frame, row, 4, column, _COLUMNS).mean() > 128)
    return number


def read_patches(frame: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Return the mean colour, [3], of each patch's middle."""
    height = frame.shape[0]
    lower = frame[height // 2 :]
    return {name: _cell(lower, 0, 1, patch, len(PATCHES)).mean(axis=(0, 1)) for patch, name in enumerate(PATCHES)}


def _cell(frame: NDArray[np.uint8], row: int, rows: int, column: int, columns: int) -> NDArray[np.uint8]:
    """Cut out the middle half of a cell."""
    height, width, _ = frame.shape
    top, left = (4 * row + 1) * height // (4 * rows), (4 * column + 1) * width // (4 * columns)
    bottom, right = (4 * row + 3) * height // (4 * rows), (4 * column + 3) * width // (4 * columns)
    return frame[top : max(bottom, top + 1), left : max(right, left + 1)]
