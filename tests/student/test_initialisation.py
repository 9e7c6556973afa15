"""ImageNet weights reach the trunk and every branch exactly, or a clear error leaves the model alone."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from pipeline.errors import CheckpointError
from pipeline.training.weights import read_state_dict
from student.initialisation import load_imagenet_weights
from student.kinet import KINet, kinet_resnet18, kinet_squeezenet1_1
from student.tsn import tsn_resnet18, tsn_squeezenet1_1


@pytest.fixture(scope="module")
def resnet18_state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        return torchvision.models.resnet18(weights=None).state_dict()


def _assert_holds(model: KINet, state: dict[str, torch.Tensor]) -> None:
    for branch in (model.action_branch, model.human_branch, model.scene_branch):
        for chain in (model.trunk, branch):
            for key, tensor in chain.source_tensors():
                assert torch.equal(tensor, state[key]), key


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_trunk_and_branches_hold_the_files_weights(
    tmp_path: Path, resnet18_state: dict[str, torch.Tensor], suffix: str
) -> None:
    path = tmp_path / f"resnet18{suffix}"
    if suffix == ".pth":
        torch.save(resnet18_state, path)
    else:
        safetensors.torch.save_file(resnet18_state, path)
    model = kinet_resnet18(3)
    report = load_imagenet_weights(model, path)
    _assert_holds(model, resnet18_state)
    assert set(report.unexpected) == {"fc.weight", "fc.bias"}
    assert report.missing == ()
    assert set(report.used) == set(resnet18_state) - {"fc.weight", "fc.bias"}


def test_old_files_without_batch_counters_are_taken(tmp_path: Path, resnet18_state: dict[str, torch.Tensor]) -> None:
    old = {key: tensor for key, tensor in resnet18_state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    model = kinet_resnet18(3)
    report = load_imagenet_weights(model, tmp_path / "old.pth")
    _assert_holds(model, {**resnet18_state})
    assert report.missing and all(key.endswith("num_batches_tracked") for key in report.missing)


@pytest.mark.parametrize("other", ["resnet34", "resnet50", "squeezenet1_1"])
def test_another_architecture_is_refused_and_nothing_is_loaded(tmp_path: Path, other: str) -> None:
    """ResNet-34 holds every key of ResNet-18, in the same shapes: its further blocks give it away."""
    path = tmp_path / "other.pth"
    torch.save(getattr(torchvision.models, other)(weights=None).state_dict(), path)
    model = tsn_resnet18(3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"other.pth: not the ImageNet weights of this student's backbone"):
        load_imagenet_weights(model, path)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_wrong_shapes_are_named(tmp_path: Path, resnet18_state: dict[str, torch.Tensor]) -> None:
    torch.save({**resnet18_state, "conv1.weight": torch.zeros(64, 10, 7, 7)}, tmp_path / "flow.pth")
    with pytest.raises(CheckpointError, match=r"1 of another shape \(conv1.weight\)"):
        load_imagenet_weights(tsn_resnet18(3), tmp_path / "flow.pth")


def test_flow_takes_the_mean_of_the_colours(tmp_path: Path, resnet18_state: dict[str, torch.Tensor]) -> None:
    torch.save(resnet18_state, tmp_path / "resnet18.pth")
    model = tsn_resnet18(3, in_channels=10)
    load_imagenet_weights(model, tmp_path / "resnet18.pth")
    found = dict(model.backbone.source_tensors())
    red, green, blue = resnet18_state["conv1.weight"].unbind(1)
    for channel in range(10):
        torch.testing.assert_close(found["conv1.weight"][:, channel], (red + green + blue) / 3)
    assert torch.equal(found["layer4.1.conv2.weight"], resnet18_state["layer4.1.conv2.weight"])


@pytest.mark.realdata
def test_real_squeezenet_weights_start_both_students() -> None:
    """With the real file, the action features of KINet and of TSN are those of torchvision's network."""
    data_dir = os.environ.get("KINET_REAL_DATA")
    if not data_dir:
        pytest.skip("KINET_REAL_DATA is not set: no real ImageNet weights at hand")
    path = Path(data_dir) / "weights" / "squeezenet1_1_imagenet_torchvision.pth"
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    reference.load_state_dict(read_state_dict(path))
    kinet, tsn = kinet_squeezenet1_1(3).eval(), tsn_squeezenet1_1(3).eval()
    for model in (kinet, tsn):
        report = load_imagenet_weights(model, path)
        assert len(report.used) == 50 and report.missing == ()
        assert report.unexpected == ("classifier.1.bias", "classifier.1.weight")
    _assert_holds(kinet, reference.state_dict())
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference.features(images).mean(dim=(2, 3))
        torch.testing.assert_close(kinet.extract_features(images).action, expected)
        torch.testing.assert_close(kinet.extract_features(images).scene, expected)
        torch.testing.assert_close(tsn.extract_features(images).action, expected)
