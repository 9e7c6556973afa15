"""Circulating checkpoints: taken over exactly, or refused in one line with nothing executed."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from pipeline.errors import CheckpointError, KinetError, TeacherError
from pipeline.training.weights import read_state_dict
from teachers.architectures import build_network, check_classes
from teachers.cards import Evaluation
from teachers.formats.detect import FileFormat
from teachers.imagenet import load_imagenet_weights
from teachers.importing import ImportRequest, import_teacher
from teachers.kinds import Kind
from teachers.storage import load_teacher, previous_path, read_card, write_card


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict()


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_not_executed(tmp_path: Path, weights: dict[str, Tensor], legacy: bool) -> None:
    sign = tmp_path / "executed"
    file = tmp_path / "whole.pth.tar"
    torch.save({"state_dict": weights, "arch": Trap(sign)}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(TeacherError, match=r"pickled code, posix\.mkdir") as refusal:
        import_teacher(Kind.SCENE, file, tmp_path / "scene.safetensors", ImportRequest(architecture="squeezenet1_1"))
    assert "\n" not in str(refusal.value)
    assert not sign.exists()
    assert not (tmp_path / "scene.safetensors").exists()
    # The trap is real: an ordinary unpickling springs it.
    pickle.loads(pickle.dumps(Trap(sign)))
    assert sign.exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "whole_model.pth"
    torch.save(nn.Linear(2, 2), file)
    with pytest.raises(CheckpointError, match="nothing was executed"):
        read_state_dict(file)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_wrapped_checkpoint_of_a_parallel_model_is_taken_over_exactly(
    tmp_path: Path, weights: dict[str, Tensor], legacy: bool
) -> None:
    file = tmp_path / "squeezenet_places365.pth.tar"
    wrapped = {"epoch": 90, "arch": "squeezenet", "state_dict": {f"module.{k}": v for k, v in weights.items()}}
    torch.save(wrapped, file, _use_new_zipfile_serialization=not legacy)
    card = import_teacher(
        Kind.SCENE, file, tmp_path / "ws" / "scene.safetensors", ImportRequest(architecture="squeezenet1_1")
    ).card
    assert card.source == file.name
    assert card.preprocessing.input_size == (224, 224)
    network, _ = load_teacher(tmp_path / "ws" / "scene.safetensors", Kind.SCENE)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_counters_that_old_files_lack_start_at_zero(tmp_path: Path) -> None:
    state = build_network(Kind.SCENE, "resnet18", 365).state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    import_teacher(
        Kind.SCENE, tmp_path / "old.pth", tmp_path / "scene.safetensors", ImportRequest(architecture="resnet18")
    )
    network, _ = load_teacher(tmp_path / "scene.safetensors", Kind.SCENE)
    assert network.state_dict()["bn1.num_batches_tracked"] == 0


def test_our_own_file_needs_no_word(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, tmp_path / "a.pth")
    first = import_teacher(
        Kind.SCENE,
        tmp_path / "a.pth",
        tmp_path / "one" / "x.safetensors",
        ImportRequest(architecture="squeezenet1_1", source="ours"),
    )
    second = import_teacher(Kind.SCENE, tmp_path / "one" / "x.safetensors", tmp_path / "two" / "scene.safetensors")
    assert second.card == first.card
    assert second.file_format == FileFormat.SAFETENSORS


def test_scores_stay_with_the_teacher_that_they_are_of(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, tmp_path / "a.pth")
    first = tmp_path / "one" / "x.safetensors"
    import_teacher(Kind.SCENE, tmp_path / "a.pth", first, ImportRequest(architecture="squeezenet1_1"))
    scored = read_card(first, Kind.SCENE).with_evaluation(Evaluation(("d",), "2026-01-01", {"top1": 0.5}))
    write_card(scored, first)
    second = tmp_path / "two" / "x.safetensors"
    same = ImportRequest(input_size=(224, 224), license="CC BY")
    assert import_teacher(Kind.SCENE, first, second, same).card.evaluations == scored.evaluations
    other = import_teacher(Kind.SCENE, first, second, ImportRequest(input_size=(128, 128), replace=True)).card
    assert (other.evaluations, other.scores) == ((), {})
    # The same weights seen otherwise are another teacher: the former is kept, and can come back.
    former = read_card(previous_path(second), Kind.SCENE)
    assert former.evaluations == scored.evaluations
    back = import_teacher(Kind.SCENE, previous_path(second), second, ImportRequest(replace=True)).card
    assert back == former
    assert read_card(previous_path(second), Kind.SCENE) == other
    import_teacher(Kind.SCENE, first, second, ImportRequest(input_size=(128, 128), replace=True))
    assert read_card(second, Kind.SCENE).evaluations == ()


def test_a_network_that_cannot_see_its_input_is_one_line(tmp_path: Path) -> None:
    torch.save(models.alexnet(weights=None, num_classes=365).state_dict(), tmp_path / "alex.pth")
    request = ImportRequest(architecture="alexnet", input_size=(20, 20))
    with pytest.raises(TeacherError, match=r"alexnet fails on noise of 20x20 .*give another --input-size") as fault:
        import_teacher(Kind.SCENE, tmp_path / "alex.pth", tmp_path / "scene.safetensors", request)
    assert "\n" not in str(fault.value)


def test_damaged_state_dicts_are_one_line(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    generator = np.random.default_rng(0)
    shapes = ((), (0,), (1,), (2, 2), (0, 3), (1, 1, 1, 1, 1))
    request = ImportRequest(architecture="squeezenet1_1")
    for shape in shapes:
        name = list(weights)[generator.integers(len(weights))]
        torch.save(weights | {name: torch.ones(shape)}, tmp_path / "a.pth")
        with pytest.raises(TeacherError, match="weights do not fit") as fault:
            import_teacher(Kind.SCENE, tmp_path / "a.pth", tmp_path / "scene.safetensors", request)
        assert "\n" not in str(fault.value)
    torch.save({"fc.bias": torch.tensor(1.0), "a": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(TeacherError, match="give --architecture"):
        import_teacher(Kind.SCENE, tmp_path / "a.pth", tmp_path / "scene.safetensors")


@pytest.mark.parametrize("people", [(15, 15), (1, 2, 1), (20,), ()])
def test_person_classes_stand_once(people: tuple[int, ...]) -> None:
    with pytest.raises(TeacherError, match="each once"):
        check_classes(Kind.HUMAN, "pspnet_semseg_resnet50", 20, people)


def test_faults_are_named(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    target = tmp_path / "scene.safetensors"
    with pytest.raises(TeacherError, match="no such file"):
        import_teacher(Kind.SCENE, tmp_path / "absent.pth", target, ImportRequest(architecture="resnet18"))
    file = tmp_path / "a.pth"
    torch.save(weights, file)
    torch.save({"a": torch.zeros(1)}, tmp_path / "c.pth")
    with pytest.raises(TeacherError, match="give --architecture: resnet152"):
        import_teacher(Kind.SCENE, tmp_path / "c.pth", target)
    with pytest.raises(
        TeacherError, match=r"as resnet18: weights do not fit: conv1.weight is missing; .* and \d+ more"
    ):
        import_teacher(Kind.SCENE, file, target, ImportRequest(architecture="resnet18"))
    torch.save([1, 2], file)
    with pytest.raises(TeacherError, match="expected a state dict"):
        import_teacher(Kind.SCENE, file, target, ImportRequest(architecture="resnet18"))
    for content in (b"", b"no checkpoint at all", b"PK\x03\x04 cut"):
        file.write_bytes(content)
        with pytest.raises(KinetError) as fault:
            import_teacher(Kind.SCENE, file, target, ImportRequest(architecture="resnet18"))
        assert "\n" not in str(fault.value)
    file.write_text("\n<!DOCTYPE html><html>404</html>\n")
    with pytest.raises(TeacherError, match="looks like a web page"):
        import_teacher(Kind.SCENE, file, target)
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(TeacherError, match="by its first bytes"):
        import_teacher(Kind.SCENE, tmp_path / "b.safetensors", target, ImportRequest(architecture="resnet18"))
    assert not target.exists()


@pytest.mark.parametrize(
    ("kind", "architecture", "classes", "reference"),
    [
        (Kind.HUMAN, "pspnet_densenet121", 20, models.densenet121),
        (Kind.HUMAN, "pspnet_squeezenet1_1", 2, models.squeezenet1_1),
        (Kind.SCENE, "squeezenet1_1", 365, models.squeezenet1_1),
        (Kind.SCENE, "resnet18", 365, models.resnet18),
    ],
)
def test_imagenet_start_fills_the_whole_backbone(
    tmp_path: Path, kind: Kind, architecture: str, classes: int, reference: type
) -> None:
    torch.manual_seed(5)
    state = reference(weights=None).state_dict()
    torch.save(state, tmp_path / "imagenet.pth")
    network = build_network(kind, architecture, classes)
    num_tensors = load_imagenet_weights(network, tmp_path / "imagenet.pth")
    backbone = [name for name in state if not name.startswith(("fc.", "classifier."))]
    assert num_tensors == len(backbone)
    ours = network.state_dict()
    for name in backbone:
        short = name.removeprefix("features.")
        own = next(full for full in (name, f"stem.{short}", f"body.{short}") if full in ours)
        assert torch.equal(ours[own], state[name])


def test_imagenet_start_from_the_published_densenet_file(tmp_path: Path) -> None:
    state = models.densenet121(weights=None).state_dict()
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d\.)", r"\1.\2", name): tensor
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    torch.save({"state_dict": published, "best": np.float64(0.7)}, tmp_path / "densenet121.pth")
    network = build_network(Kind.HUMAN, "pspnet_densenet121", 20)
    assert load_imagenet_weights(network, tmp_path / "densenet121.pth") == len(published) - 2
    name = "denseblock1.denselayer1.norm1.weight"
    ours = next(full for full in network.state_dict() if full.endswith(name))
    assert torch.equal(network.state_dict()[ours], state[f"features.{name}"])


def test_imagenet_start_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "r18.pth")
    with pytest.raises(TeacherError, match="weights do not fit"):
        load_imagenet_weights(build_network(Kind.HUMAN, "pspnet_densenet121", 2), tmp_path / "r18.pth")


def test_a_usual_network_with_another_head_is_told_by_its_shapes(tmp_path: Path) -> None:
    file, destination = tmp_path / "ten.pth", tmp_path / "scene.safetensors"
    torch.save(models.squeezenet1_1(num_classes=10).state_dict(), file)
    expected = (
        r"names are those of squeezenet1_1.*classifier.1.weight is \[10, 512, 1, 1\], expected \[365, 512, 1, 1\]"
    )
    with pytest.raises(TeacherError, match=expected):
        import_teacher(Kind.SCENE, file, destination)
    torch.save(models.wide_resnet50_2(num_classes=365).state_dict(), file)
    with pytest.raises(
        TeacherError, match=r"names are those of resnet50.*--architecture: .* torchvision's classifiers"
    ):
        import_teacher(Kind.SCENE, file, destination)
    assert import_teacher(Kind.SCENE, file, destination, ImportRequest(architecture="wide_resnet50_2")).tensors
    torch.save(models.shufflenet_v2_x0_5(num_classes=10).state_dict(), file)
    with pytest.raises(TeacherError, match=r"say what it is; give --architecture: .* and torchvision's classifiers"):
        import_teacher(Kind.SCENE, file, tmp_path / "other.safetensors")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for request in (ImportRequest(), ImportRequest(file_format=FileFormat.PYTORCH)):
        with pytest.raises(TeacherError, match="a folder; give the checkpoint in it"):
            import_teacher(Kind.SCENE, tmp_path, tmp_path / "scene.safetensors", request)
