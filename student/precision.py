"""In which number format a network's forward pass runs."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context for a forward pass.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 on CUDA, float32 elsewhere.
        device: where the network is.

    Raises:
        ValueError: another precision.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision: expected auto, float32 or bfloat16, found {precision!r}")
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def choose_device() -> torch.device:
    """Return the first CUDA device, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
