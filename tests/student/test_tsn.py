"""TSN: size, interface, and that it is torchvision's network with the logits averaged."""

import pytest
import torch
import torchvision

from student.build import BACKBONES, build_student
from student.parameters import count_parameters
from student.tsn import tsn_resnet50


def test_tsn_resnet50_has_the_papers_size() -> None:
    assert count_parameters(tsn_resnet50(400).to_inference()) == 24_327_632


@pytest.mark.parametrize("backbone", BACKBONES)
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
