"""The merge rule, and masks at the frames' size."""

import pytest
import torch
from torch import Tensor, nn

from teachers.human import HumanTeacher, merge_parts
from teachers.preprocessing import Preprocessing
from teachers.psp import PspOutputs, pspnet_squeezenet1_1

SIZE = Preprocessing(height=32, width=40)


class FixedLogits(nn.Module):
    """Gives the same logits whatever it sees: a network whose answer is known."""

    def __init__(self, logits_K: Tensor) -> None:
        super().__init__()
        self.logits_K = logits_K

    def forward(self, x_B3HW: Tensor) -> PspOutputs:
        batch, _, height, width = x_B3HW.shape
        return PspOutputs(self.logits_K.view(1, -1, 1, 1).expand(batch, -1, height, width), None)


def teacher_of(probabilities: list[float]) -> HumanTeacher:
    return HumanTeacher(FixedLogits(torch.tensor(probabilities).log()), preprocessing=SIZE, name="fixed")  # type: ignore[arg-type]


def test_every_part_is_a_person_and_background_is_not() -> None:
    assert merge_parts(torch.arange(20)).tolist() == [False] + [True] * 19


def test_many_unlikely_parts_together_make_a_person() -> None:
    """Background is the most likely class, and yet the parts' sum is over a half."""
    frames = torch.zeros(1, 48, 64, 3, dtype=torch.uint8)
    assert teacher_of([0.4] + [0.6 / 19] * 19).predict_masks(frames).all()
    assert not teacher_of([0.51] + [0.49 / 19] * 19).predict_masks(frames).any()
    assert teacher_of([0.5, 0.5]).predict_masks(frames).all()


def test_masks_have_the_frames_size_and_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    teacher = HumanTeacher(pspnet_squeezenet1_1(2), preprocessing=SIZE, name="tiny")
    frames = torch.randint(0, 256, (3, 50, 70, 3), dtype=torch.uint8)
    masks, probs = teacher.predict_masks(frames), teacher.predict_probabilities(frames)
    assert masks.dtype == torch.bool
    assert masks.shape == (3, 50, 70)
    assert probs.shape == (3, 2, 50, 70)
    torch.testing.assert_close(probs.sum(1), torch.ones(3, 50, 70))
    assert torch.equal(masks, 1 - probs[:, 0] >= 0.5)


def test_frames_do_not_influence_each_other() -> None:
    torch.manual_seed(0)
    teacher = HumanTeacher(pspnet_squeezenet1_1(20), preprocessing=SIZE, name="tiny")
    frames = torch.randint(0, 256, (4, 40, 40, 3), dtype=torch.uint8)
    together = teacher.predict_probabilities(frames)
    alone = torch.cat([teacher.predict_probabilities(frames[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_close_to_float32_and_other_precisions_are_refused() -> None:
    torch.manual_seed(0)
    network = pspnet_squeezenet1_1(2)
    frames = torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8)
    exact = HumanTeacher(network, preprocessing=SIZE, name="tiny").predict_probabilities(frames)
    rough = HumanTeacher(network, preprocessing=SIZE, precision="bfloat16", name="tiny").predict_probabilities(frames)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.03, rtol=0)
    with pytest.raises(ValueError, match="precision"):
        HumanTeacher(network, preprocessing=SIZE, precision="int8", name="tiny").predict_masks(frames)
