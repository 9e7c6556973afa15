"""TSN: size, interface, and that it is torchvision's network with the logits averaged."""

import pytest
import torch
import torchvision
from torch import nn

from student.build import build_student
from student.parameters import count_parameters
from student.tsn import TSN, tsn_resnet18, tsn_resnet50


@pytest.mark.parametrize(
    ("backbone", "imagenet_parameters"),
    [("resnet50", 25_557_032), ("resnet200", 64_673_832), ("bninception", 11_295_240), ("inceptionv3", 23_834_568)],
)
def test_tsn_has_its_backbones_published_size(backbone: str, imagenet_parameters: int) -> None:
    """ImageNet's networks of 1000 classes, as their papers and libraries count them."""
    with torch.device("meta"):
        assert count_parameters(build_student(model="tsn", backbone=backbone, num_classes=1000)) == imagenet_parameters


def test_tsn_resnet50_has_the_papers_size() -> None:
    assert count_parameters(tsn_resnet50(400).to_inference()) == 24_327_632


@pytest.mark.parametrize("backbone", ["resnet18", "bninception", "squeezenet1_1"])
def test_flow_channels_see_what_grey_colours_did(backbone: str) -> None:
    """Ten equal channels through the widened kernels are ten thirds of RGB's mean, as the tiled mean says."""
    rgb, flow = (
        build_student(model="tsn", backbone=backbone, num_classes=2, in_channels=channels).eval()
        for channels in (3, 10)
    )
    assert isinstance(rgb, TSN) and isinstance(flow, TSN)
    grey = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    first_rgb, first_flow = (
        next(module for module in model.backbone.modules() if isinstance(module, nn.Conv2d)) for model in (rgb, flow)
    )
    with torch.no_grad():
        by_rgb, by_flow = first_rgb(grey.expand(1, 3, 32, 32)), first_flow(grey.expand(1, 10, 32, 32))
        if first_rgb.bias is not None:
            bias = first_rgb.bias.view(1, -1, 1, 1)
            by_rgb, by_flow = by_rgb - bias, by_flow - bias
        torch.testing.assert_close(by_flow, by_rgb * 10 / 3, rtol=1e-4, atol=1e-5)
        assert flow(torch.randn(1, 3, 10, 32, 32)).action_logits.shape == (1, 2)


def test_frames_of_another_modality_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float \[B, T, 10, H, W\], found"):
        tsn_resnet18(2, in_channels=10)(torch.zeros(1, 3, 3, 64, 64))
    with pytest.raises(ValueError, match="in_channels: expected at least 1, found 0"):
        tsn_resnet18(2, in_channels=0)
    with pytest.raises(ValueError, match="expected 3 for kinet, which learns from RGB, found 10"):
        build_student(model="kinet", backbone="resnet18", num_classes=2, in_channels=10)


@pytest.mark.parametrize("backbone", ["bninception", "resnet18", "squeezenet1_1"])
def test_segment_features_equal_the_forward_pass(backbone: str) -> None:
    model = build_student(model="tsn", backbone=backbone, num_classes=5, num_segments=2).eval()
    frames = torch.randn(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = model(frames)
        features = model.extract_features(frames.flatten(0, 1))
        segments = features.gather(torch.arange(6).view(3, 2))
        torch.testing.assert_close(model.classify_segments(segments), outputs.action_logits)
    assert outputs.action_logits.shape == (3, 5)
    assert outputs.human_logits is None and outputs.scene_logits is None and outputs.edge_entropy is None


def test_the_consensus_is_the_mean_of_torchvisions_logits() -> None:
    reference = torchvision.models.resnet50(weights=None, num_classes=5).eval()
    model = tsn_resnet50(5).eval()
    source = reference.state_dict()
    with torch.no_grad():
        for key, tensor in model.backbone.source_tensors():
            tensor.copy_(source[key])
        model.action_classifier.load_state_dict({"weight": source["fc.weight"], "bias": source["fc.bias"]})
        frames = torch.randn(1, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model(frames).action_logits, reference(frames[0]).mean(dim=0, keepdim=True))
