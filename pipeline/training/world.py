"""The processes that train one model together; alone, every operation here does nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process's place among those that train together. With more than one, torch.distributed must be set up.

    Every operation is collective: all ranks must call it, in the same order.

    Attributes:
        rank: of this process, from 0; rank 0 writes checkpoints and metrics.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank {self.rank} of {self.size}: ranks are counted from 0")

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks, on every rank alike."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """Return every rank's plain value, by rank."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over ranks, in one message; a parameter that no rank reached keeps none."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        reached = torch.tensor([p.grad is not None for p in trained], dtype=torch.float32, device=trained[0].device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = torch.cat([reached, *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(flat)
        pieces = flat[len(trained) :].split([p.numel() for p in trained])
        for parameter, piece, ranks in zip(trained, pieces, flat[: len(trained)].tolist(), strict=True):
            # In the parameter's own order in memory, which fused optimisers take for granted.
            parameter.grad = torch.empty_like(parameter).copy_(piece.view_as(parameter)) if ranks else None

    def average_statistics(self, model: nn.Module) -> None:
        """Average BatchNorm's running statistics over ranks, so that every rank's model is the same.

        Those of a BatchNorm in evaluation mode are the same already: an average would only round them.
        """
        if self.size == 1:
            return
        statistics = [
            buffer
            for module in model.modules()
            if isinstance(module, _BatchNorm) and module.training
            for buffer in module.buffers(recurse=False)
            if buffer.is_floating_point()
        ]
        if not statistics:
            return
        flat = torch.cat([buffer.flatten() for buffer in statistics])
        dist.all_reduce(flat)
        pieces = (flat / self.size).split([buffer.numel() for buffer in statistics])
        for buffer, piece in zip(statistics, pieces, strict=True):
            buffer.copy_(piece.view_as(buffer))


ALONE = World()
