"""Networks for images, cut into the pieces that students are built from.

They are torchvision's own modules, never copies of its code; only BN-Inception, which it lacks, is the project's.
"res4" and "res5" are the paper's names for the last two stages; a backbone that is no ResNet says here which of its
blocks take their place.
"""

from dataclasses import dataclass, replace

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from student.bninception import STAGES, make_bninception_blocks
from student.branches import BottleneckTap, NamedBlock, OutputTap, Tap
from student.catalogue import BACKBONES
from student.normalisation import Normalisation


@dataclass(frozen=True)
class BlockWidths:
    """Channels of a block at its tap, and at its output."""

    tapped: int
    output: int


@dataclass(frozen=True)
class CutBackbone:
    """A backbone in pieces.

    Attributes:
        name: as on the command line.
        stem: the blocks before res4.
        res4, res5: the blocks of the last two stages.
        tap: where CBI opens a block in its narrow reading.
        res4_widths, res5_widths: channels of the two stages' blocks, one by one.
        normalisation: of the images it was pre-trained with.
        in_channels: of the images; 3 is RGB.
    """

    name: str
    stem: tuple[NamedBlock, ...]
    res4: tuple[NamedBlock, ...]
    res5: tuple[NamedBlock, ...]
    tap: Tap
    res4_widths: tuple[BlockWidths, ...]
    res5_widths: tuple[BlockWidths, ...]
    normalisation: Normalisation
    in_channels: int = 3

    @property
    def feature_dim(self) -> int:
        """Width of the pooled features."""
        return self.res5_widths[-1].output


def cut_resnet50() -> CutBackbone:
    """Cut ResNet-50: res4 is `layer3`, res5 is `layer4`; CBI's narrow tap is inside the bottleneck."""
    return _cut_resnet(
        "resnet50",
        torchvision.models.resnet50(weights=None),
        tap=BottleneckTap(),
        res4_widths=BlockWidths(tapped=256, output=1024),
        res5_widths=BlockWidths(tapped=512, output=2048),
    )


def cut_resnet200() -> CutBackbone:
    """Cut ResNet-200 (3, 24, 36 and 3 bottlenecks): the wide model of Table 2. Cut as ResNet-50 is."""
    return _cut_resnet(
        "resnet200",
        ResNet(Bottleneck, [3, 24, 36, 3]),
        tap=BottleneckTap(),
        res4_widths=BlockWidths(tapped=256, output=1024),
        res5_widths=BlockWidths(tapped=512, output=2048),
    )


def cut_resnet18() -> CutBackbone:
    """Cut ResNet-18: its blocks have no bottleneck, so CBI joins their outputs."""
    return _cut_resnet(
        "resnet18",
        torchvision.models.resnet18(weights=None),
        tap=OutputTap(),
        res4_widths=BlockWidths(tapped=256, output=256),
        res5_widths=BlockWidths(tapped=512, output=512),
    )


def cut_squeezenet1_1() -> CutBackbone:
    """Cut SqueezeNet 1.1: fire6-8 take res4's place, fire9 takes res5's. It has no BatchNorm."""
    features = torchvision.models.squeezenet1_1(weights=None).features
    blocks = tuple(NamedBlock(f"features.{index}", block) for index, block in enumerate(features))
    return CutBackbone(
        name="squeezenet1_1",
        stem=blocks[:9],
        res4=blocks[9:12],
        res5=blocks[12:],
        tap=OutputTap(),
        res4_widths=_untapped(384, 384, 512),
        res5_widths=_untapped(512),
        normalisation=BACKBONES["squeezenet1_1"].normalisation,
    )


def cut_bninception() -> CutBackbone:
    """Cut BN-Inception: modules 4a-4e take res4's place, 5a and 5b res5's. It sees BGR in 0-255."""
    blocks = tuple(make_bninception_blocks())
    num_res4, num_res5 = (sum(name.startswith(stage) for name in STAGES) for stage in "45")
    return CutBackbone(
        name="bninception",
        stem=blocks[: -num_res4 - num_res5],
        res4=blocks[-num_res4 - num_res5 : -num_res5],
        res5=blocks[-num_res5:],
        tap=OutputTap(),
        res4_widths=_untapped(576, 576, 608, 608, 1056),
        res5_widths=_untapped(1024, 1024),
        normalisation=BACKBONES["bninception"].normalisation,
    )


def cut_inceptionv3() -> CutBackbone:
    """Cut Inception V3: Mixed_6a-6e take res4's place, Mixed_7a-7c res5's. Made for images of 299 x 299."""
    network = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=True)
    blocks = tuple(NamedBlock(name, block) for name, block in network.named_children())
    names = [block.name for block in blocks]
    res4_start, res5_start, end = (names.index(name) for name in ("Mixed_6a", "Mixed_7a", "avgpool"))
    return CutBackbone(
        name="inceptionv3",
        stem=blocks[:res4_start],
        res4=blocks[res4_start:res5_start],
        res5=blocks[res5_start:end],
        tap=OutputTap(),
        res4_widths=_untapped(768, 768, 768, 768, 768),
        res5_widths=_untapped(1280, 2048, 2048),
        normalisation=BACKBONES["inceptionv3"].normalisation,
    )


def widen_input(backbone: CutBackbone, in_channels: int) -> CutBackbone:
    """Let a backbone see `in_channels` channels instead of RGB; optical flow has 10 (five x, y pairs).

    The first convolution's kernels are those for RGB, averaged over the colours and repeated (TSN's cross-modality
    start); `student.initialisation` does the same with ImageNet's.

    Raises:
        ValueError: less than one channel.
    """
    if in_channels < 1:
        raise ValueError(f"in_channels: expected at least 1, found {in_channels}")
    if in_channels == backbone.in_channels:
        return backbone
    first = backbone.stem[0]
    found = next((name, conv) for name, conv in first.module.named_modules() if isinstance(conv, nn.Conv2d))
    widened = _widen_convolution(found[1], in_channels)
    if found[0]:
        parent, _, child = found[0].rpartition(".")
        setattr(first.module.get_submodule(parent), child, widened)
    else:
        first = first._replace(module=widened)
    return replace(backbone, stem=(first, *backbone.stem[1:]), in_channels=in_channels)


def average_colours(weight_OCkk: Tensor, in_channels: int) -> Tensor:
    """Turn kernels over RGB into equal kernels over any number of channels: [O, 3, k, k] to [O, in_channels, k, k]."""
    return weight_OCkk.mean(dim=1, keepdim=True).expand(-1, in_channels, -1, -1)


def _widen_convolution(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    widened = nn.Conv2d(
        in_channels,
        conv.out_channels,
        kernel_size=conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        widened.weight.copy_(average_colours(conv.weight, in_channels))
        if widened.bias is not None and conv.bias is not None:
            widened.bias.copy_(conv.bias)
    return widened


def _cut_resnet(
    name: str, resnet: nn.Module, *, tap: Tap, res4_widths: BlockWidths, res5_widths: BlockWidths
) -> CutBackbone:
    stages = dict(resnet.named_children())

    def blocks_of(stage: str) -> tuple[NamedBlock, ...]:
        return tuple(NamedBlock(f"{stage}.{key}", block) for key, block in stages[stage].named_children())

    entry = tuple(NamedBlock(key, stages[key]) for key in ("conv1", "bn1", "relu", "maxpool"))
    return CutBackbone(
        name=name,
        stem=entry + blocks_of("layer1") + blocks_of("layer2"),
        res4=blocks_of("layer3"),
        res5=blocks_of("layer4"),
        tap=tap,
        res4_widths=(res4_widths,) * len(stages["layer3"]),  # type: ignore[arg-type]  # a Sequential
        res5_widths=(res5_widths,) * len(stages["layer4"]),  # type: ignore[arg-type]
        normalisation=BACKBONES[name].normalisation,
    )


def _untapped(*channels: int) -> tuple[BlockWidths, ...]:
    """Describe blocks that have no tap but their output."""
    return tuple(BlockWidths(tapped=number, output=number) for number in channels)
