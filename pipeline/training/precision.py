"""Where a network runs, and in which number format its forward pass does."""

import torch
from torch import nn

from pipeline.precisions import PRECISIONS


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context for a forward pass; for float32 it changes nothing.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 on CUDA, float32 elsewhere.
        device: where the network is.

    Raises:
        ValueError: another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
    enabled = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def ready_for_inference(network: nn.Module, precision: str) -> nn.Module:
    """Put a network into evaluation mode, its weights channels-last, and in bfloat16 where `autocast` would cast them.

    Without gradients autocast casts the weights of convolutions and linear layers anew at each forward pass; cast once,
    they give the same results. BatchNorm stays in float32, as under autocast.

    Args:
        network: changed in place.
        precision: "float32" or "bfloat16".
    """
    network.eval().to(memory_format=torch.channels_last)
    if precision == "bfloat16":
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)
    return network


def choose_device() -> torch.device:
    """Return the first CUDA device, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
