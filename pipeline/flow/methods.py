"""The algorithms, all OpenCV's: TV-L1 as in the papers, TV-L1 with fewer steps, and DIS.

Shape suffixes: H/W frame size.
Speeds and differences: `docs/flow.md`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WorkspaceError
from pipeline.flow.settings import PACKAGE


def require_optflow() -> None:
    """Raise WorkspaceError where OpenCV comes without its contributed modules."""
    if not hasattr(cv2, "optflow"):
        raise WorkspaceError(f"OpenCV {cv2.__version__} has no optflow module; pip install {PACKAGE}")


def compute_flow(method: str, first_HW: NDArray[np.uint8], second_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the motion from one gray frame to the next.

    Args:
        method: of `METHODS`.
        first_HW, second_HW: uint8 [H, W].

    Returns:
        Pixels, float32 [H, W, 2].
    """
    # Each pair has an algorithm of its own: DIS starts from what an earlier pair left in it, which costs more to trust
    # than the 8 % of its time to make one. An array in place of None would be a start too.
    algorithm = _make_algorithm(method)
    flow: NDArray[np.float32] = algorithm.calc(first_HW, second_HW, None)  # type: ignore[call-overload]
    return flow


def _make_algorithm(method: str) -> cv2.DenseOpticalFlow:
    match method:
        case "tvl1":
            # OpenCV's defaults are the values that TSN's flow was made with.
            return cv2.optflow.DualTVL1OpticalFlow.create()
        case "tvl1-fast":
            return cv2.optflow.DualTVL1OpticalFlow.create(warps=2, epsilon=0.05)
        case "dis":
            return cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
    raise AssertionError(f"{method} passed the check, but has no algorithm")
