"""BN-Inception has the published network's weights under the names in which they circulate, and computes with them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from student.bninception import STAGES, make_bninception_blocks
from student.branches import BlockChain
from student.initialisation import load_imagenet_weights
from student.kinet import kinet_bninception
from student.tsn import tsn_bninception

NUM_CONVOLUTIONS = 69


def _random_state() -> dict[str, Tensor]:
    """A file's content: the names are written out here from the published layout, not taken from our modules."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def convolution(name: str, in_channels: int, out_channels: int, kernel: int) -> None:
        scale = (2 / (in_channels * kernel**2)) ** 0.5
        state[f"{name}.weight"] = scale * torch.randn(out_channels, in_channels, kernel, kernel, generator=generator)
        for key in (f"{name}.bias", f"{name}_bn.bias", f"{name}_bn.running_mean"):
            state[key] = 0.1 * torch.randn(out_channels, generator=generator)
        for key in (f"{name}_bn.weight", f"{name}_bn.running_var"):
            state[key] = 0.5 + torch.rand(out_channels, generator=generator)

    convolution("conv1_7x7_s2", 3, 64, 7)
    convolution("conv2_3x3_reduce", 64, 64, 1)
    convolution("conv2_3x3", 64, 192, 3)
    in_channels = 192
    for stage, widths in STAGES.items():
        name = f"inception_{stage}"
        if widths.narrow:
            convolution(f"{name}_1x1", in_channels, widths.narrow, 1)
        convolution(f"{name}_3x3_reduce", in_channels, widths.single[0], 1)
        convolution(f"{name}_3x3", widths.single[0], widths.single[1], 3)
        convolution(f"{name}_double_3x3_reduce", in_channels, widths.double[0], 1)
        convolution(f"{name}_double_3x3_1", widths.double[0], widths.double[1], 3)
        convolution(f"{name}_double_3x3_2", widths.double[1], widths.double[1], 3)
        if widths.pool:
            convolution(f"{name}_pool_proj", in_channels, widths.pool, 1)
        in_channels = widths.narrow + widths.single[1] + widths.double[1] + (widths.pool or in_channels)
    return state


def _by_the_table(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The forward pass, written out step by step over the file's tensors."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        x = F.conv2d(x, weight, state[f"{name}.bias"], stride=stride, padding=weight.shape[-1] // 2)
        mean, var = state[f"{name}_bn.running_mean"], state[f"{name}_bn.running_var"]
        return F.relu(F.batch_norm(x, mean, var, state[f"{name}_bn.weight"], state[f"{name}_bn.bias"]))

    x = F.max_pool2d(conv(images, "conv1_7x7_s2", 2), 3, 2, ceil_mode=True)
    x = F.max_pool2d(conv(conv(x, "conv2_3x3_reduce"), "conv2_3x3"), 3, 2, ceil_mode=True)
    for stage in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        name, halves = f"inception_{stage}", stage in ("3c", "4e")
        stride = 2 if halves else 1
        paths = [] if halves else [conv(x, f"{name}_1x1")]
        paths.append(conv(conv(x, f"{name}_3x3_reduce"), f"{name}_3x3", stride))
        paths.append(
            conv(conv(conv(x, f"{name}_double_3x3_reduce"), f"{name}_double_3x3_1"), f"{name}_double_3x3_2", stride)
        )
        if halves:
            paths.append(F.max_pool2d(x, 3, 2, ceil_mode=True))
        else:
            pooled = F.max_pool2d(x, 3, 1, 1) if stage == "5b" else F.avg_pool2d(x, 3, 1, 1)
            paths.append(conv(pooled, f"{name}_pool_proj"))
        x = torch.cat(paths, dim=1)
    return x


def test_it_has_the_published_size_and_names() -> None:
    chain = BlockChain(make_bninception_blocks())
    own = {name: tensor.shape for name, tensor in chain.source_tensors() if not name.endswith("num_batches_tracked")}
    published = {name: tensor.shape for name, tensor in _random_state().items()}
    assert own == published
    assert len(published) == NUM_CONVOLUTIONS * 6
    num_parameters = sum(parameter.numel() for parameter in chain.parameters())
    assert num_parameters + 1024 * 1000 + 1000 == 11_295_240


@pytest.mark.parametrize("old_batchnorm", [False, True])
def test_circulating_weights_load_and_compute_the_published_network(tmp_path: Path, old_batchnorm: bool) -> None:
    """Old files hold BatchNorm's vectors as [1, C]; both have a classifier named last_linear."""
    state = _random_state()
    stored = {key: value[None] if old_batchnorm and "_bn." in key else value for key, value in state.items()}
    torch.save({**stored, "last_linear.weight": torch.zeros(1000, 1024)}, tmp_path / "bn_inception.pth")
    model = tsn_bninception(3).eval()
    report = load_imagenet_weights(model, tmp_path / "bn_inception.pth")
    assert set(report.used) == set(state) and report.unexpected == ("last_linear.weight",)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(images), _by_the_table(state, images))


def test_kinet_takes_them_into_trunk_and_branches(tmp_path: Path) -> None:
    state = _random_state()
    torch.save(state, tmp_path / "bn_inception.pth")
    model = kinet_bninception(3)
    load_imagenet_weights(model, tmp_path / "bn_inception.pth")
    assert model.trunk.names[-1] == "inception_4d" and list(model.cbi) == ["0", "2"]
    assert (model.cbi["0"].channels, model.cbi["2"].channels) == (1056, 1024)
    for chain in (model.action_branch, model.human_branch, model.scene_branch):
        assert chain.names == ("inception_4e", "inception_5a", "inception_5b")
        for key, tensor in chain.source_tensors():
            assert key.endswith("num_batches_tracked") or torch.equal(tensor, state[key])


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"multiples of 32 pixels.* 7 x 7 to halve"):
        BlockChain(make_bninception_blocks())(torch.empty(1, 3, 112, 112))
