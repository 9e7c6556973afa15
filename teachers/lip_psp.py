"""The public PSPNet for LIP on DenseNet-121, run as it was trained.

Shapes: B batch, H and W the input's size, h and w the feature map's (H/8 and W/8), C channels, K classes.

Source: github.com/Yukun-Huang/Single-Human-Parsing-LIP (after Lextal/pspnet-pytorch), MIT. It differs from
`teachers.psp.pspnet_densenet121`: transitions 2 and 3 lose their pooling but nothing is dilated, there is no last
normalisation, the pyramid's levels keep all their channels and have no normalisation, and three times an upsampling by
2 with a 3x3 convolution follows. Its second head, which says which parts an image shows, is left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from teachers.psp import PspOutputs

PYRAMID_SIZES = (1, 2, 3, 6)


class LipPyramid(nn.Module):
    """Add averages over 1, 4, 9 and 36 regions to features [B, C, h, w], and mix them to `out_channels`."""

    def __init__(self, channels: int, *, out_channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Conv2d(channels, channels, kernel_size=1, bias=False))
            for size in PYRAMID_SIZES
        )
        self.bottleneck = nn.Conv2d(channels * (len(PYRAMID_SIZES) + 1), out_channels, kernel_size=1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """Return [B, out_channels, h, w]."""
        levels = [
            F.interpolate(stage(x_BChw), size=x_BChw.shape[-2:], mode="bilinear", align_corners=False)
            for stage in self.stages
        ]
        return F.relu(self.bottleneck(torch.cat([*levels, x_BChw], dim=1)))


class LipUpsampling(nn.Module):
    """Double height and width, then convolve."""

    def __init__(self, channels: int, *, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1), nn.BatchNorm2d(out_channels), nn.PReLU()
        )

    def forward(self, x_BChw: Tensor) -> Tensor:
        """Return [B, out_channels, 2h, 2w]."""
        return self.conv(F.interpolate(x_BChw, scale_factor=2, mode="bilinear", align_corners=False))


class LipPspNet(nn.Module):
    """Parse images; made for prediction, without auxiliary head and dropout.

    Args:
        features: x_B3HW -> [B, channels, h, w].
        channels: of the features.
        num_classes: K.
    """

    def __init__(self, features: nn.Module, *, channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.psp = LipPyramid(channels, out_channels=1024)
        self.up_1 = LipUpsampling(1024, out_channels=256)
        self.up_2 = LipUpsampling(256, out_channels=64)
        self.up_3 = LipUpsampling(64, out_channels=64)
        self.final = nn.Conv2d(64, num_classes, kernel_size=1)

    def forward(self, x_B3HW: Tensor) -> PspOutputs:
        """Score every pixel of float images that are already normalised; height and width are multiples of 8, or the
        scores are interpolated.
        """
        x_BChw = self.up_3(self.up_2(self.up_1(self.psp(self.features(x_B3HW)))))
        logits_BKHW = self.final(x_BChw)
        if logits_BKHW.shape[-2:] != x_B3HW.shape[-2:]:
            logits_BKHW = F.interpolate(logits_BKHW, size=x_B3HW.shape[-2:], mode="bilinear", align_corners=False)
        return PspOutputs(logits_BKHW, None)


def pspnet_lip_densenet121(num_classes: int = 20) -> LipPspNet:
    """Build the public LIP parser with fresh weights."""
    features = models.densenet121(weights=None).features
    del features.norm5
    features.transition2.pool = nn.Identity()
    features.transition3.pool = nn.Identity()
    return LipPspNet(features, channels=1024, num_classes=num_classes)
