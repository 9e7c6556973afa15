"""A teacher of a user's own that torch can compile, and one that fails at it."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn


class EdgeParser:
    """A person is where a fixed filter answers."""

    name = "edges"
    preprocessing = "none"

    def __init__(self, path: Path) -> None:
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1)).eval()
        generator = torch.Generator().manual_seed(0)
        for parameter in self.network.parameters():
            nn.init.normal_(parameter, generator=generator)

    def compile(self) -> None:
        """Let torch compile the network."""
        self.network.compile(dynamic=False)

    @torch.inference_mode()
    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Filter frames."""
        answers_BHW: Tensor = self.network(frames_BHWC.permute(0, 3, 1, 2) / 127.5 - 1)[:, 0]
        return answers_BHW > 0


class BrokenParser(EdgeParser):
    """Cannot be compiled on this machine."""

    def compile(self) -> None:
        """Fail."""
        raise RuntimeError("no compiler here")


def load(weights_path: Path, *, device: torch.device, precision: str) -> EdgeParser:
    """Make the teacher; its file may hold anything."""
    return EdgeParser(weights_path)


def load_broken(weights_path: Path, *, device: torch.device, precision: str) -> BrokenParser:
    """Make the one that fails."""
    return BrokenParser(weights_path)
