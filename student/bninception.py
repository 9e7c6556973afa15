"""BN-Inception (Ioffe & Szegedy 2015, figure 5), which torchvision does not have.

Widths and pooling are the paper's table. The modules bear the names of the circulating weights
(``inception_3a_double_3x3_reduce``), so that these load as they are; convolutions keep the bias that those hold.

Shape suffixes: N images, C channels, H/W map size.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from student.branches import NamedBlock

Pool = Literal["avg", "max"]


@dataclass(frozen=True)
class InceptionWidths:
    """Channels inside one Inception module.

    Attributes:
        narrow: of the 1x1 path; 0 leaves the path out.
        single: of the 3x3 path's reduction and its convolution.
        double: of the reduction and of both convolutions of the path with two 3x3.
        pool: of the pooled path's projection; 0 passes the pooled map on.
        pool_kind: average or maximum, over 3x3.
        stride: of the last 3x3 convolutions and of the pool; 2 in the modules that halve the map.
    """

    narrow: int
    single: tuple[int, int]
    double: tuple[int, int]
    pool: int
    pool_kind: Pool = "avg"
    stride: int = 1

    def out_channels(self, in_channels: int) -> int:
        """Count the output's channels."""
        return self.narrow + self.single[1] + self.double[1] + (self.pool or in_channels)


STEM_CHANNELS = 192
STAGES: dict[str, InceptionWidths] = {
    "3a": InceptionWidths(64, (64, 64), (64, 96), 32),
    "3b": InceptionWidths(64, (64, 96), (64, 96), 64),
    "3c": InceptionWidths(0, (128, 160), (64, 96), 0, "max", stride=2),
    "4a": InceptionWidths(224, (64, 96), (96, 128), 128),
    "4b": InceptionWidths(192, (96, 128), (96, 128), 128),
    "4c": InceptionWidths(160, (128, 160), (128, 160), 128),
    "4d": InceptionWidths(96, (128, 192), (160, 192), 128),
    "4e": InceptionWidths(0, (128, 192), (192, 256), 0, "max", stride=2),
    "5a": InceptionWidths(352, (192, 320), (160, 224), 128),
    "5b": InceptionWidths(352, (192, 320), (192, 224), 128, "max"),
}


class InceptionModule(nn.Module):
    """Run up to four paths over one map and stack their outputs: 1x1, 3x3, two 3x3, pool.

    Args:
        in_channels: of the map.
        widths: of the paths.
    """

    def __init__(self, in_channels: int, widths: InceptionWidths) -> None:
        super().__init__()
        self.stride = stride = widths.stride
        self._paths: list[list[str]] = []
        if widths.narrow:
            self._paths.append([self._add("1x1", in_channels, widths.narrow)])
        self._paths.append(
            [
                self._add("3x3_reduce", in_channels, widths.single[0]),
                self._add("3x3", *widths.single, kernel=3, stride=stride),
            ]
        )
        self._paths.append(
            [
                self._add("double_3x3_reduce", in_channels, widths.double[0]),
                self._add("double_3x3_1", *widths.double, kernel=3),
                self._add("double_3x3_2", widths.double[1], widths.double[1], kernel=3, stride=stride),
            ]
        )
        self.pool = _make_pool(widths)
        self._pool_path = [self._add("pool_proj", in_channels, widths.pool)] if widths.pool else []

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return the paths' outputs along the channels, in the order of the paper's table.

        Raises:
            ValueError: a map of odd sides is to be halved: convolution and pool would disagree.
        """
        if self.stride == 2 and (maps_NCHW.shape[2] % 2 or maps_NCHW.shape[3] % 2):
            raise ValueError(
                f"BN-Inception: expected images whose sides are multiples of 32 pixels, found ones that give a map of "
                f"{maps_NCHW.shape[2]} x {maps_NCHW.shape[3]} to halve; choose another input_size, 224 or 128 say"
            )
        outputs = [self._run(path, maps_NCHW) for path in self._paths]
        outputs.append(self._run(self._pool_path, self.pool(maps_NCHW)))
        return torch.cat(outputs, dim=1)

    def _add(self, name: str, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1) -> str:
        self.add_module(name, nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))
        return name

    def _run(self, path: list[str], maps_NCHW: Tensor) -> Tensor:
        for name in path:
            maps_NCHW = F.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(maps_NCHW)), inplace=True)
        return maps_NCHW


def make_bninception_blocks() -> list[NamedBlock]:
    """Make the blocks from the images to the last map, [N, 1024, H/32, W/32], in order, with a random start."""
    blocks = [
        *_conv_block("conv1_7x7_s2", 3, 64, kernel=7, stride=2),
        NamedBlock("pool1_3x3_s2", nn.MaxPool2d(3, stride=2, ceil_mode=True)),
        *_conv_block("conv2_3x3_reduce", 64, 64, kernel=1),
        *_conv_block("conv2_3x3", 64, STEM_CHANNELS, kernel=3),
        NamedBlock("pool2_3x3_s2", nn.MaxPool2d(3, stride=2, ceil_mode=True)),
    ]
    channels = STEM_CHANNELS
    for name, widths in STAGES.items():
        blocks.append(NamedBlock(f"inception_{name}", InceptionModule(channels, widths), separator="_"))
        channels = widths.out_channels(channels)
    for block in blocks:
        for module in block.module.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every convolution here has one
    return blocks


def _conv_block(
    name: str, in_channels: int, out_channels: int, *, kernel: int, stride: int = 1
) -> tuple[NamedBlock, NamedBlock, NamedBlock]:
    return (
        NamedBlock(name, nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)),
        NamedBlock(f"{name}_bn", nn.BatchNorm2d(out_channels)),
        NamedBlock(f"{name}_relu", nn.ReLU(inplace=True)),
    )


def _make_pool(widths: InceptionWidths) -> nn.Module:
    padding = 1 if widths.stride == 1 else 0
    if widths.pool_kind == "max":
        return nn.MaxPool2d(3, stride=widths.stride, padding=padding, ceil_mode=True)
    return nn.AvgPool2d(3, stride=widths.stride, padding=padding, ceil_mode=True)
