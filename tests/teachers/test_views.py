"""Averaging over mirror images and scales, against the same done by hand; feeding as Caffe feeds."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.lip import FLIP_PAIRS
from teachers import human, scene
from teachers.architectures import build_network, default_preprocessing
from teachers.cards import TeacherCard
from teachers.evaluation import ten_crop_probabilities
from teachers.human import HumanTeacher
from teachers.kinds import Kind
from teachers.layouts.caffe_nets import caffe_preprocessing
from teachers.preprocessing import Preprocessing, prepare_frames
from teachers.psp import PspOutputs
from teachers.scene import SceneTeacher
from teachers.storage import save_teacher

CPU = torch.device("cpu")
FRAMES = torch.randint(0, 256, (2, 40, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Parser(nn.Module):
    """A parser whose scores are a fixed convolution, which knows left from right."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3, padding=1)

    def forward(self, x: Tensor) -> PspOutputs:
        return PspOutputs(self.conv(x), None)


def probabilities(network: nn.Module, frames: Tensor, preprocessing: Preprocessing, scale: float = 1) -> Tensor:
    size = [round(side * scale) for side in (preprocessing.height, preprocessing.width)]
    sized = dataclasses.replace(preprocessing, height=size[0], width=size[1], flip_averaging=False, scales=(1.0,))
    with torch.inference_mode():
        logits = network(prepare_frames(frames, sized)).logits
    return F.interpolate(logits, size=frames.shape[1:3], mode="bilinear").softmax(1)


@pytest.mark.parametrize("parses_lip", [True, False])
def test_human_probabilities_are_averaged_over_mirror_images_and_scales(parses_lip: bool) -> None:
    torch.manual_seed(0)
    network = Parser(20).eval()
    preprocessing = Preprocessing(height=32, width=36, flip_averaging=True, scales=(0.75, 1.0))
    teacher = HumanTeacher(network, preprocessing=preprocessing, name="parser", parses_lip=parses_lip)
    order = list(range(20))
    for left, right in FLIP_PAIRS if parses_lip else ():
        order[left], order[right] = right, left
    views = []
    for scale in preprocessing.scales:
        views.append(probabilities(network, FRAMES, preprocessing, scale))
        mirrored = probabilities(network, FRAMES.flip(2), preprocessing, scale)
        views.append(mirrored.flip(3)[:, order])
    torch.testing.assert_close(teacher.predict_probabilities(FRAMES), torch.stack(views).mean(0))


def test_person_classes_are_summed_and_stand_in_the_name() -> None:
    torch.manual_seed(0)
    preprocessing = Preprocessing(height=40, width=48)
    teacher = HumanTeacher(Parser(5), preprocessing=preprocessing, name="parser", person_classes=(2, 4))
    probs = teacher.predict_probabilities(FRAMES)
    assert torch.equal(teacher.predict_masks(FRAMES), probs[:, 2] + probs[:, 4] >= 0.5)
    assert teacher.name == "parser person=2,4"


def test_the_loaders_say_in_the_fingerprint_what_they_average(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for kind, module, architecture, classes in (
        (Kind.HUMAN, human, "pspnet_squeezenet1_1", 2),
        (Kind.SCENE, scene, "squeezenet1_1", 365),
    ):
        path = tmp_path / f"{kind}.safetensors"
        card = TeacherCard(kind, architecture, classes, default_preprocessing(kind, (64, 64)), "a test")
        save_teacher(build_network(kind, architecture, classes), card, path)
        loaders = (module.load, module.load_flip_averaged, module.load_multi_scale)
        plain, flipped, scaled = (load(path, device=CPU, precision="float32") for load in loaders)
        assert len({str(teacher.preprocessing) for teacher in (plain, flipped, scaled)}) == 3
        both = torch.cat([FRAMES, FRAMES.flip(2)])
        if isinstance(flipped, SceneTeacher):
            mirrored = plain.predict_probabilities(both).view(2, 2, -1).mean(0)
            torch.testing.assert_close(flipped.predict_probabilities(FRAMES), mirrored)
            # The mirror image of a frame gets the same label.
            swapped = flipped.predict_probabilities(FRAMES.flip(2))
            torch.testing.assert_close(flipped.predict_probabilities(FRAMES), swapped)
        assert scaled.predict_probabilities(FRAMES).isfinite().all()


def test_caffes_input_is_bgr_less_the_mean_image() -> None:
    mean = np.random.default_rng(0).uniform(90, 130, (3, 256, 256)).astype(np.float32)
    frames = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8)
    prepared = prepare_frames(frames, caffe_preprocessing(torch.from_numpy(mean)))
    expected = frames[0].numpy()[..., ::-1].transpose(2, 0, 1).astype(np.float32) - mean
    np.testing.assert_allclose(prepared[0].numpy(), expected[:, 16:240, 16:240], atol=1e-4)
    values = caffe_preprocessing(mean_values=(100.0, 110.0, 120.0))
    assert prepare_frames(frames, values)[0, 2, 0, 0] == pytest.approx(float(frames[0, 16, 16, 0]) - 120, abs=1e-4)
    with pytest.raises(ValueError, match=r"mean image: \[3, 200, 200\], expected"):
        caffe_preprocessing(torch.zeros(3, 200, 200))


@pytest.mark.parametrize("with_mean_image", [False, True])
def test_ten_crops_by_hand(with_mean_image: bool) -> None:
    torch.manual_seed(0)
    mean = torch.rand(3, 40, 48) if with_mean_image else None
    preprocessing = Preprocessing(height=40, width=48, crop_height=32, crop_width=32, mean_image=mean)
    network = nn.Sequential(nn.Conv2d(3, 365, 5, stride=3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    teacher = SceneTeacher(network, preprocessing=preprocessing, name="tiny")
    whole = dataclasses.replace(preprocessing, crop_height=None, crop_width=None)
    x = prepare_frames(FRAMES, whole)
    total = torch.zeros(2, 365)
    with torch.inference_mode():
        for image in (x, x.flip(3)):
            for top, left in ((0, 0), (0, 16), (8, 0), (8, 16), (4, 8)):
                total += network(image[:, :, top : top + 32, left : left + 32]).softmax(1)
    torch.testing.assert_close(ten_crop_probabilities(teacher, FRAMES), total / 10)
