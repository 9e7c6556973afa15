"""The human parser: the whole backbone runs, at stride 8."""

import pytest
import torch
from torch import nn
from torchvision import models

from teachers.psp import PspNet, pspnet_densenet121, pspnet_squeezenet1_1


@pytest.fixture(scope="module")
def parser() -> PspNet:
    torch.manual_seed(0)
    return pspnet_densenet121()


def backbone_of(network: PspNet) -> nn.Sequential:
    backbone = nn.Sequential()
    for part in (network.stem, network.body):
        for name, layer in part.named_children():
            backbone.add_module(name, layer)
    return backbone


def test_gradient_reaches_every_parameter_of_the_backbone_through_the_main_head(parser: PspNet) -> None:
    parser.train()
    parser.zero_grad()
    parser(torch.randn(2, 3, 32, 40)).logits.square().mean().backward()
    for block in ("denseblock1", "denseblock2", "denseblock3"):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parser.stem.get_submodule(block).parameters())
    deepest = dict(parser.body.denseblock4.named_parameters())
    assert len(deepest) == 16 * 6
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in deepest.values())


def test_output_stride_is_8_and_maps_have_the_blocks_widths(parser: PspNet) -> None:
    parser.eval()
    with torch.inference_mode():
        stem = parser.stem(torch.zeros(1, 3, 64, 88))
        assert stem.shape == (1, 1024, 8, 11)
        assert parser.body(stem).shape == (1, 1024, 8, 11)


def test_backbone_has_exactly_torchvisions_tensors(parser: PspNet) -> None:
    theirs = models.densenet121(weights=None).features.state_dict()
    ours = backbone_of(parser).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}
    num_backbone = sum(p.numel() for p in backbone_of(parser).parameters())
    assert num_backbone == 6_953_856  # torchvision's 7,978,856 without its 1000-class layer of 1,025,000


def test_dilated_blocks_see_what_strided_blocks_see() -> None:
    """Where the strided network computes a cell, the dilated one computes the same value: dilation replaces stride."""
    torch.manual_seed(1)
    reference = models.densenet121(weights=None).features.eval()
    network = pspnet_densenet121(2).eval()
    backbone_of(network).load_state_dict(reference.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        early_reference = reference[: list(dict(reference.named_children())).index("transition2")](x)
        early = network.stem[: list(dict(network.stem.named_children())).index("transition2")](x)
        torch.testing.assert_close(early, early_reference)
        # Average pooling does not commute with the rest, so compare block 3 alone on a subsampled map.
        maps = torch.randn(1, 256, 8, 8)
        dilated = network.stem.denseblock3(maps)[..., ::2, ::2]
        strided = reference.denseblock3(maps[..., ::2, ::2])
    torch.testing.assert_close(dilated, strided, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(17, 17), (33, 50), (61, 43)])
@pytest.mark.parametrize("build", [pspnet_densenet121, pspnet_squeezenet1_1])
def test_any_size_and_a_batch_of_one_train(build: type, size: tuple[int, int]) -> None:
    network = build(2).train()
    outputs = network(torch.randn(1, 3, *size))
    assert outputs.logits.shape == outputs.aux_logits.shape == (1, 2, *size)
    assert network.eval()(torch.randn(1, 3, *size)).aux_logits is None


def test_small_network_has_stride_8_and_squeezenets_tensors() -> None:
    network = pspnet_squeezenet1_1(2).eval()
    assert network.body(network.stem(torch.zeros(1, 3, 64, 88))).shape == (1, 512, 8, 11)
    theirs = models.squeezenet1_1(weights=None).features.state_dict()
    assert {n: t.shape for n, t in backbone_of(network).state_dict().items()} == {n: t.shape for n, t in theirs.items()}


def test_pyramid_lets_every_pixel_see_the_whole_image() -> None:
    network = pspnet_squeezenet1_1(2).eval()
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    network(x).logits[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, :, -8:, -8:] != 0).any()


def test_fewer_than_two_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes"):
        pspnet_squeezenet1_1(1)
