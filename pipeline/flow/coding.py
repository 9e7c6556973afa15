"""Flow as images: clipped at 20 pixels, quantised to 8 bits, x above y in one JPEG stream.

Shape suffixes: H/W frame size, 2 the components x and y.
Source: Temporal Segment Networks (bound 20, 8 bits, JPEG). Its zero lies at 127.5, here at 128, so that rest is stored
exactly, and so is a mirrored flow: x becomes 256 - x. One stream of both saves a header (`docs/flow.md`).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError

# Pixels from one frame to the next: faster motion is clipped.
BOUND = 20.0
# Stored values are 1..255; 0 does not occur, so that the mirrored value of each fits 8 bits.
ZERO = 128
_STEPS = 127


def quantise(flow_HW2: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Quantise flow in pixels, float32 [H, W, 2], to uint8 [2, H, W] in 1..255; 128 is rest."""
    scaled = np.clip(flow_HW2, -BOUND, BOUND) * (_STEPS / BOUND)
    return np.ascontiguousarray((np.rint(scaled) + ZERO).astype(np.uint8).transpose(2, 0, 1))


def dequantise(planes_2HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return flow in pixels, float32 [H, W, 2], of uint8 [2, H, W]."""
    return (planes_2HW.transpose(1, 2, 0).astype(np.float32) - ZERO) * np.float32(BOUND / _STEPS)


def encode(planes_2HW: NDArray[np.uint8], quality: int) -> bytes:
    """Compress quantised flow to a JPEG stream of x above y."""
    stacked = planes_2HW.reshape(-1, planes_2HW.shape[2])
    _, stream = cv2.imencode(".jpg", stacked, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return stream.tobytes()


def decode(stream: bytes) -> NDArray[np.uint8]:
    """Return the quantised flow of a JPEG stream: uint8 [2, H, W] in 1..255.

    Raises:
        ShardError: it is no such stream.
    """
    stacked = cv2.imdecode(np.frombuffer(stream, np.uint8), cv2.IMREAD_GRAYSCALE) if stream else None
    if stacked is None or stacked.shape[0] % 2:
        raise ShardError(
            f"a flow of {len(stream)} bytes is no JPEG image of x above y; run kinet-pipeline verify --repair --flow "
            "--dataset NAME"
        )
    # JPEG may overshoot to 0.
    return np.maximum(stacked, 1).reshape(2, -1, stacked.shape[1])
