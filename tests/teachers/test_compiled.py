"""A compiled teacher gives the answers that it gave before."""

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from teachers.human import HumanTeacher
from teachers.preprocessing import Preprocessing
from teachers.psp import PspOutputs
from teachers.scene import SceneTeacher

SIZE = Preprocessing(height=32, width=40)

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


class TinyParser(nn.Module):
    """A convolution with BatchNorm, of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())

    def forward(self, x_B3hw: Tensor) -> PspOutputs:
        return PspOutputs(self.layers(x_B3hw), None)


def test_compiled_networks_answer_as_before() -> None:
    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Conv2d(3, 365, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    human = HumanTeacher(TinyParser(), preprocessing=SIZE, name="tiny")
    scene = SceneTeacher(classifier, preprocessing=SIZE, name="tiny")
    frames = torch.randint(0, 256, (4, 48, 64, 3), dtype=torch.uint8)
    before = human.predict_probabilities(frames), scene.predict_probabilities(frames)
    human.compile()
    scene.compile()
    counters.clear()
    after = human.predict_probabilities(frames), scene.predict_probabilities(frames)
    assert counters["stats"]["unique_graphs"] == 2
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
