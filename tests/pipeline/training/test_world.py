"""Several processes that train together see the same sums; alone nothing changes."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from pipeline.training.world import ALONE, World

SIZE = 2


def rank_model(rank: int) -> nn.Sequential:
    """Gradients and statistics that differ by rank; the last layer's weight is reached by rank 1 alone."""
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(1, 1))
    model[0].running_mean.fill_(float(rank + 1))
    model[1].weight.grad = torch.full((2, 2), float(10**rank))
    if rank == 1:
        model[2].weight.grad = torch.ones(2, 2)
    model[3].requires_grad_(False)
    return model


def check_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=SIZE)
    world = World(rank, SIZE)
    model = rank_model(rank)
    world.sum_gradients(model.parameters())
    world.average_statistics(model)
    assert torch.equal(model[1].weight.grad, torch.full((2, 2), 11.0))
    assert torch.equal(model[2].weight.grad, torch.ones(2, 2))
    assert model[0].weight.grad is None
    assert torch.equal(model[0].running_mean, torch.full((2,), 1.5))
    convolution = nn.Conv2d(3, 4, 2, bias=False).to(memory_format=torch.channels_last)
    drawn = [torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(SIZE)]
    convolution.weight.grad = drawn[rank].to(memory_format=torch.channels_last)
    world.sum_gradients(convolution.parameters())
    assert torch.equal(convolution.weight.grad, drawn[0] + drawn[1])
    assert convolution.weight.grad.stride() == convolution.weight.stride()
    frozen = nn.BatchNorm2d(2).eval()
    frozen.running_mean.fill_(float(rank))
    world.average_statistics(nn.Sequential(frozen, nn.BatchNorm2d(2)))
    assert torch.equal(frozen.running_mean, torch.full((2,), float(rank)))
    assert world.sum(torch.tensor([rank + 1])).tolist() == [3]
    assert world.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    (Path(folder) / f"done{rank}").touch()
    dist.destroy_process_group()


def test_sums_are_the_same_on_every_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(check_rank, (str(tmp_path),), nprocs=SIZE)
    assert all((tmp_path / f"done{rank}").exists() for rank in range(SIZE))


def test_alone_nothing_changes() -> None:
    model = rank_model(0)
    ALONE.sum_gradients(model.parameters())
    ALONE.average_statistics(model)
    assert model[2].weight.grad is None
    assert torch.equal(model[0].running_mean, torch.ones(2))
    assert ALONE.gather(3) == [3]


@pytest.mark.parametrize(("rank", "size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_that_cannot_be_is_refused(rank: int, size: int) -> None:
    with pytest.raises(ValueError, match="ranks are counted from 0"):
        World(rank, size)
