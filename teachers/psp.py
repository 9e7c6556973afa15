"""The human parser's network: pyramid pooling on a whole backbone at stride 8.

Shapes: B batch, H and W the input's size, h and w the feature map's (about H/8 and W/8), C channels, K classes.

PSPNet (Zhao et al., CVPR 2017) with DenseNet-121 is the paper's human parser. The pyramid is the well-kept one of
`segmentation_models_pytorch`; its ready-made ``PSPNet("densenet121")`` is not used, since by default it stops after the
second of four dense blocks and cannot dilate the others.
"""

from typing import NamedTuple

import segmentation_models_pytorch.decoders.pspnet.decoder as smp_pspnet
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

OUTPUT_STRIDE = 8
AUX_LOSS_WEIGHT = 0.4


class PspOutputs(NamedTuple):
    """What the network says of each pixel.

    Attributes:
        logits: [B, K, H, W], unnormalised scores at the input's size.
        aux_logits: the auxiliary head's, in training mode only; else None.
    """

    logits: Tensor
    aux_logits: Tensor | None


class PspNet(nn.Module):
    """Parse images: early features, late features, pyramid pooling, one score map per class.

    Any H and W from 17 pixels upwards will do: adaptive pooling and interpolation ask for no divisibility. Batches of
    one image train too (the pyramid's 1x1 level carries no BatchNorm).

    Args:
        stem: x_B3HW -> the features that the auxiliary head reads, [B, aux_channels, h, w].
        body: those features -> [B, channels, h, w].
        channels: channels of the body's output; a multiple of 4.
        aux_channels: channels of the stem's output.
        num_classes: K.
        pyramid_channels: width of the decoder's output.
        dropout: probability with which whole channels are dropped before both classifiers.
    """

    def __init__(
        self,
        *,
        stem: nn.Module,
        body: nn.Module,
        channels: int,
        aux_channels: int,
        num_classes: int,
        pyramid_channels: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes: at least 2 (background and person), got {num_classes}")
        self.stem = stem
        self.body = body
        self.pyramid = smp_pspnet.PSPDecoder([channels], out_channels=pyramid_channels, dropout=dropout)
        self.head = nn.Conv2d(pyramid_channels, num_classes, kernel_size=1)
        aux_width = aux_channels // 4
        self.aux_head = nn.Sequential(
            nn.Conv2d(aux_channels, aux_width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(aux_width),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(aux_width, num_classes, kernel_size=1),
        )

    def forward(self, x_B3HW: Tensor) -> PspOutputs:
        """Score every pixel of float images that are already normalised."""
        size = x_B3HW.shape[-2:]
        stem_BChw = self.stem(x_B3HW)
        logits_BKhw = self.head(self.pyramid([self.body(stem_BChw)]))
        aux_logits_BKHW = _upsample(self.aux_head(stem_BChw), size) if self.training else None
        return PspOutputs(_upsample(logits_BKhw, size), aux_logits_BKHW)


def _upsample(logits_BKhw: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate bilinearly, without aligned corners, so that flipping and resizing commute."""
    return F.interpolate(logits_BKhw, size=size, mode="bilinear", align_corners=False)


def pspnet_densenet121(num_classes: int = 20) -> PspNet:
    """Build the paper's human parser: all four dense blocks, stride 8, auxiliary head on block 3's output.

    Transitions 2 and 3 keep their convolution and lose their pooling; blocks 3 and 4 are dilated by 2 and 4 instead.
    """
    features = models.densenet121(weights=None).features
    features.transition2.pool = nn.Identity()
    features.transition3.pool = nn.Identity()
    _dilate(features.denseblock3, 2)
    _dilate(features.denseblock4, 4)
    names = [name for name, _ in features.named_children()]
    split = names.index("denseblock3") + 1
    stem = nn.Sequential()
    for name in names[:split]:
        stem.add_module(name, features.get_submodule(name))
    body = nn.Sequential()
    for name in names[split:]:
        body.add_module(name, features.get_submodule(name))
    body.add_module("relu5", nn.ReLU(inplace=True))
    return PspNet(stem=stem, body=body, channels=1024, aux_channels=1024, num_classes=num_classes)


def pspnet_squeezenet1_1(num_classes: int = 2) -> PspNet:
    """Build a human parser for small machines: the same pyramid on SqueezeNet 1.1. Not the paper's network.

    The last max-pool has stride 1 instead of 2, and the four fire modules behind it are dilated by 2, for stride 8.
    """
    features = models.squeezenet1_1(weights=None).features
    pools = [index for index, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    features[pools[-1]] = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
    body = features[pools[-1] :]
    _dilate(body, 2)
    # Padding as in the other networks, so that an input of 8 n pixels gives a map of n. The weights' shapes stay.
    features[0].padding = (1, 1)
    return PspNet(
        stem=features[: pools[-1]],
        body=body,
        channels=512,
        aux_channels=256,
        num_classes=num_classes,
        pyramid_channels=256,
    )


def _dilate(module: nn.Module, dilation: int) -> None:
    """Dilate every 3x3 convolution, padded so that the map's size stays."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.dilation = (dilation, dilation)
            layer.padding = (dilation, dilation)
