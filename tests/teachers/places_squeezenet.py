"""A user's own scene teacher, as someone outside of this project would write it: a SqueezeNet for Places365.

The layout: SqueezeNet 1.1 with BatchNorm and leaky ReLU behind every convolution but the last, which has the leaky ReLU
alone; then the mean over all places.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.label.teacher import SceneLabels

LEAK = 0.55
EPS = 1e-4


class Convolution(nn.Module):
    """Convolution, BatchNorm, leaky ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2)
        self.bn = nn.BatchNorm2d(out, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.bn(self.conv(x)), LEAK)


class Fire(nn.Module):
    """Squeeze, then expand by 1x1 and 3x3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = Convolution(channels, squeezed, 1)
        self.expand1x1 = Convolution(squeezed, expanded, 1)
        self.expand3x3 = Convolution(squeezed, expanded, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze1x1(x)
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1)


class PlacesSqueezeNet(nn.Module):
    """The network: float [B, 3, h, w] to logits [B, 365]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 64, 3, stride=2)
        plan = ((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128))
        plan += ((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256))
        for number, sizes in enumerate(plan, start=2):
            self.add_module(f"fire{number}", Fire(*sizes))
        self.conv10 = nn.Conv2d(512, 365, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2)
        for number in range(2, 10):
            x = getattr(self, f"fire{number}")(x)
            if number in (3, 5):
                x = F.max_pool2d(x, 3, 2)
        return F.leaky_relu(self.conv10(x), LEAK).mean((2, 3))


class Teacher:
    """BGR, 256 x 256, the centre 224 x 224, (pixel - mean image) / 255."""

    name = "squeezenet_places365_bn"
    preprocessing = "256x256, centre 224x224, BGR, (pixel - mean image) / 255"

    def __init__(self, network: nn.Module, mean_3HW: Tensor, sha256: str) -> None:
        self.network = network.eval()
        self.mean_3hw = mean_3HW[:, 16:240, 16:240]
        self.sha256 = sha256

    @torch.inference_mode()
    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        x = frames_BHWC.permute(0, 3, 1, 2).flip(1).float()
        if x.shape[-2:] != (256, 256):
            x = F.interpolate(x, size=(256, 256), mode="bilinear", antialias=True)
        x = (x[..., 16:240, 16:240] - self.mean_3hw) / 255
        top = self.network(x).softmax(1).topk(5)
        return SceneLabels(top.indices, top.values)


def load(weights_path: Path, *, device: torch.device, precision: str) -> Teacher:
    """Make the teacher of the weights, with the mean image that lies beside them."""
    network = PlacesSqueezeNet()
    with weights_path.open("rb") as file:  # under its path in a workspace, `torch.load` would take it for safetensors
        network.load_state_dict(torch.load(file, weights_only=True))
    mean_image = next(weights_path.parent.glob("*_mean_bgr_3x256x256.npy"))
    network.to(device)
    mean = torch.from_numpy(np.load(mean_image)).to(device)
    return Teacher(network, mean, hashlib.sha256(weights_path.read_bytes()).hexdigest())
