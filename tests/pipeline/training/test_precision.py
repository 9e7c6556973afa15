"""Number formats: weights cast once give what autocast gives by casting them every time."""

import copy

import pytest
import torch
from torch import nn

from pipeline.training.precision import autocast, ready_for_inference


def make_network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    network = nn.Sequential(*layers)
    network(torch.randn(16, 3, 12, 12))  # running statistics that are not 0 and 1
    return network.eval()


def test_casting_once_changes_nothing_under_autocast() -> None:
    network = make_network()
    x_B3HW = torch.randn(4, 3, 12, 12)
    ready = ready_for_inference(copy.deepcopy(network), "bfloat16")
    with torch.inference_mode(), autocast("bfloat16", torch.device("cpu")):
        assert torch.equal(ready(x_B3HW), network(x_B3HW))
    formats = {name: parameter.dtype for name, parameter in ready.named_parameters()}
    assert formats["0.weight"] == formats["5.bias"] == torch.bfloat16
    assert formats["1.weight"] == torch.float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_weights_are_channels_last(precision: str) -> None:
    network = make_network()
    convolution = network.get_submodule("0")
    assert isinstance(convolution, nn.Conv2d)
    assert not convolution.weight.is_contiguous(memory_format=torch.channels_last)
    ready_for_inference(network, precision)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert not convolution.weight.is_contiguous()


def test_float32_keeps_every_weight() -> None:
    network = make_network()
    before = copy.deepcopy(network.state_dict())
    ready = ready_for_inference(network, "float32")
    assert all(torch.equal(value, before[name]) for name, value in ready.state_dict().items())
    assert not ready.training
