"""PSPNet on a ResNet with three 3x3 convolutions in front, as its authors published it for PyTorch.

Shapes: B batch, H and W the input's size, h and w the feature map's (about H/8 and W/8), C channels, K classes.

Source: github.com/hszhao/semseg, MIT. Corners are aligned in every interpolation; it was made for inputs of 8n + 1
pixels, others work too.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from teachers.psp import PspOutputs

PYRAMID_SIZES = (1, 2, 3, 6)


class SemsegPyramid(nn.Module):
    """Add averages over 1, 4, 9 and 36 regions to features [B, C, h, w], which doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // len(PYRAMID_SIZES)
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(size),
                nn.Conv2d(channels, width, kernel_size=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )
            for size in PYRAMID_SIZES
        )

    def forward(self, x_BChw: Tensor) -> Tensor:
        """Return [B, 2C, h, w]."""
        levels = [
            F.interpolate(level(x_BChw), size=x_BChw.shape[-2:], mode="bilinear", align_corners=True)
            for level in self.features
        ]
        return torch.cat([x_BChw, *levels], dim=1)


class SemsegPspNet(nn.Module):
    """Parse images; made for prediction, without the auxiliary head.

    Args:
        resnet: a bottleneck ResNet of torchvision whose stages 3 and 4 are dilated already; its stem and head are not
            used.
        num_classes: K.
    """

    def __init__(self, resnet: models.ResNet, *, num_classes: int) -> None:
        super().__init__()
        self.layer0 = nn.Sequential(
            *_stem_convolution(3, 64, stride=2),
            *_stem_convolution(64, 64),
            *_stem_convolution(64, 128),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        self.ppm = SemsegPyramid(2048)
        self.cls = nn.Sequential(
            nn.Conv2d(4096, 512, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(512),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(512, num_classes, kernel_size=1),
        )

    def forward(self, x_B3HW: Tensor) -> PspOutputs:
        """Score every pixel of float images that are already normalised."""
        x_BChw = self.layer4(self.layer3(self.layer2(self.layer1(self.layer0(x_B3HW)))))
        logits_BKhw = self.cls(self.ppm(x_BChw))
        return PspOutputs(F.interpolate(logits_BKhw, size=x_B3HW.shape[-2:], mode="bilinear", align_corners=True), None)


def pspnet_semseg_resnet50(num_classes: int) -> SemsegPspNet:
    """Build semseg's PSPNet on ResNet-50 with fresh weights."""
    return SemsegPspNet(_dilated(models.resnet50), num_classes=num_classes)


def pspnet_semseg_resnet101(num_classes: int) -> SemsegPspNet:
    """Build semseg's PSPNet on ResNet-101 with fresh weights."""
    return SemsegPspNet(_dilated(models.resnet101), num_classes=num_classes)


def _dilated(builder: Callable[..., models.ResNet]) -> models.ResNet:
    """Take stages 3 and 4 to stride 8: every 3x3 dilated by 2 and 4, the first block's too (unlike torchvision)."""
    resnet = builder(weights=None)
    resnet.layer1[0].conv1 = nn.Conv2d(128, 64, kernel_size=1, bias=False)
    resnet.layer1[0].downsample[0] = nn.Conv2d(128, 256, kernel_size=1, bias=False)
    for stage, dilation in ((resnet.layer3, 2), (resnet.layer4, 4)):
        stage[0].downsample[0].stride = (1, 1)
        for block in stage:
            block.conv2.stride = (1, 1)
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return resnet


def _stem_convolution(channels: int, out_channels: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
