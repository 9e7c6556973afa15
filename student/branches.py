"""Chains of a backbone's blocks: the shared trunk, and the branches that CBI reaches into.

Shape suffixes: N images, C channels, H/W map size.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn


class NamedBlock(NamedTuple):
    """One block of a backbone, with its name in the backbone's own state_dict (``layer3.5``).

    `separator` stands between the block's name and its tensors' in that state_dict.
    """

    name: str
    module: nn.Module
    separator: str = "."


class BlockChain(nn.Module):
    """Run blocks one after the other, and know under which names an ImageNet checkpoint holds their weights.

    Args:
        named_blocks: in the order in which they run.
    """

    def __init__(self, named_blocks: Sequence[NamedBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block.module for block in named_blocks])
        self.names = tuple(block.name for block in named_blocks)
        self._separators = tuple(block.separator for block in named_blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """Return the last block's output."""
        for block in self.blocks:
            maps_NCHW = block(maps_NCHW)
        return maps_NCHW

    def source_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter and buffer under the name it has in the backbone's own state_dict."""
        for block in self.named_blocks():
            for key, tensor in block.module.state_dict().items():
                yield f"{block.name}{block.separator}{key}", tensor

    def named_blocks(self) -> list[NamedBlock]:
        """List the blocks with their names."""
        parts = zip(self.names, self.blocks, self._separators, strict=True)
        return [NamedBlock(name, block, separator) for name, block, separator in parts]

    def first(self, num_blocks: int) -> "BlockChain":
        """Make a chain of the first blocks, which it shares with this one."""
        return self if num_blocks >= len(self) else BlockChain(self.named_blocks()[:num_blocks])


class Branches(NamedTuple):
    """The three branches of KINet: chains of one shape that own their weights.

    An auxiliary chain may be shorter than the action's, where its further blocks serve nothing, or empty.
    """

    action: BlockChain
    human: BlockChain
    scene: BlockChain


class Tap(Protocol):
    """Where a block is opened for CBI: it runs up to the tap, the tapped map may be exchanged, and it runs on."""

    def enter(self, block: nn.Module, maps_NCHW: Tensor) -> Tensor:
        """Run the block up to the tap and return the tapped map."""
        ...

    def leave(self, block: nn.Module, tapped_NCHW: Tensor, maps_NCHW: Tensor) -> Tensor:
        """Run the rest of the block, given the tapped map and the block's input, and return the block's output."""
        ...


class OutputTap:
    """Tap a block at its output: any block will do."""

    def enter(self, block: nn.Module, maps_NCHW: Tensor) -> Tensor:
        """Run the whole block."""
        output: Tensor = block(maps_NCHW)
        return output

    def leave(self, block: nn.Module, tapped_NCHW: Tensor, maps_NCHW: Tensor) -> Tensor:
        """Nothing is left to run."""
        return tapped_NCHW


class BottleneckTap:
    """Tap a torchvision ResNet bottleneck after its 3x3 convolution, where it has a quarter of its channels.

    The two halves together are the block's own forward pass.
    """

    def enter(self, block: nn.Module, maps_NCHW: Tensor) -> Tensor:
        """Run the 1x1 and the 3x3 convolution, each with BatchNorm and ReLU."""
        narrow = block.relu(block.bn1(block.conv1(maps_NCHW)))  # type: ignore[operator]
        tapped: Tensor = block.relu(block.bn2(block.conv2(narrow)))  # type: ignore[operator]
        return tapped

    def leave(self, block: nn.Module, tapped_NCHW: Tensor, maps_NCHW: Tensor) -> Tensor:
        """Run the last 1x1 convolution, add the shortcut, ReLU."""
        shortcut = maps_NCHW if block.downsample is None else block.downsample(maps_NCHW)  # type: ignore[operator]
        output: Tensor = block.relu(block.bn3(block.conv3(tapped_NCHW)) + shortcut)  # type: ignore[operator]
        return output
