"""Top-5 labels of the scene teacher."""

import torch
from torch import nn

from teachers.architectures import build_network, default_preprocessing, resnet152_places365
from teachers.kinds import Kind
from teachers.scene import SceneTeacher


def test_top_5_are_the_best_of_the_softmax_over_all_classes() -> None:
    torch.manual_seed(0)
    network = build_network(Kind.SCENE, "resnet18", 365)
    teacher = SceneTeacher(network, preprocessing=default_preprocessing(Kind.SCENE, (32, 32)), name="tiny")
    frames = torch.randint(0, 256, (3, 50, 70, 3), dtype=torch.uint8)
    labels = teacher.predict_scenes(frames)
    probs = teacher.predict_probabilities(frames)
    assert labels.indices_BK.shape == labels.probs_BK.shape == (3, 5)
    assert labels.indices_BK.dtype == torch.int64
    assert labels.probs_BK.dtype == torch.float32
    for row in range(3):
        order = sorted(range(365), key=lambda k: -float(probs[row, k]))[:5]
        assert labels.indices_BK[row].tolist() == order
        assert torch.equal(labels.probs_BK[row], probs[row, order])


def test_the_papers_network_has_152_layers_and_365_classes() -> None:
    network = resnet152_places365()
    layers = [m for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in name]
    assert len(layers) + 1 == 152
    # torchvision's 60,192,808 with 1000 classes.
    assert sum(p.numel() for p in network.parameters()) == 60_192_808 - (1000 - 365) * 2049
    assert network.layer2[0].conv2.stride == (2, 2)


def test_the_usual_preprocessing_is_256_then_centre_224() -> None:
    usual = default_preprocessing(Kind.SCENE)
    assert (usual.height, usual.width, *usual.input_size) == (256, 256, 224, 224)
    assert default_preprocessing(Kind.SCENE, (112, 112)).height == 128
