"""The identity of a frame: a 64-bit difference hash of its pixels."""

import numpy as np
from numpy.typing import NDArray

HASH_ROWS = 8
HASH_COLUMNS = 9
MAX_CELL_ROWS = 256
# ITU-R BT.601 luma, in thousandths.
_LUMA_WEIGHTS = np.array([299, 587, 114], dtype=np.int64)


def hash_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash each frame by the signs of its horizontal brightness steps.

    The frame's luma is averaged over 8 rows by 9 columns of cells; bit 63 - (8 * row + column) is 1 where the cell is
    brighter than its right neighbour. All sums are integers, so equal pixels give equal hashes on every machine.

    Args:
        frames: uint8 RGB [n, H, W, 3]; H a multiple of 8 up to 2048, W at least 9.

    Returns:
        uint64 [n].
    """
    num_frames, height, width, _ = frames.shape
    if height % HASH_ROWS or height // HASH_ROWS > MAX_CELL_ROWS or width < HASH_COLUMNS:
        raise ValueError(
            f"frames of {height} x {width}: a hash needs a height that is a multiple of 8 and a width of 9"
        )
    if num_frames == 0:
        return np.zeros(0, dtype=np.uint64)
    # Rows first, in 16 bits: the one pass over all pixels, and the reason for MAX_CELL_ROWS.
    rows = frames.reshape(num_frames, HASH_ROWS, height // HASH_ROWS, width * 3).sum(axis=2, dtype=np.uint16)
    column_edges = np.arange(HASH_COLUMNS) * width // HASH_COLUMNS
    cells = np.add.reduceat(rows.reshape(num_frames, HASH_ROWS, width, 3), column_edges, axis=2, dtype=np.int64)
    luma = cells @ _LUMA_WEIGHTS
    # Cells differ in width by a pixel: compare sums a / wa > b / wb without dividing.
    cell_widths = np.diff(np.append(column_edges, width))
    brighter = luma[:, :, :-1] * cell_widths[1:] > luma[:, :, 1:] * cell_widths[:-1]
    packed = np.packbits(brighter.reshape(num_frames, -1), axis=1)
    return packed.view(">u8").astype(np.uint64).reshape(num_frames)
