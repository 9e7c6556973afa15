"""Teacher files: exact round trips, and every fault named."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pipeline.errors import TeacherError
from teachers import human, scene
from teachers.architectures import build_network, default_preprocessing
from teachers.cards import Evaluation, TeacherCard
from teachers.kinds import Kind
from teachers.storage import load_teacher, previous_path, save_teacher, side_path

CPU = torch.device("cpu")


def card_of(kind: Kind, architecture: str, classes: int) -> TeacherCard:
    return TeacherCard(
        kind=kind,
        architecture=architecture,
        classes=classes,
        preprocessing=default_preprocessing(kind, (32, 40)),
        source="a test",
        evaluations=(Evaluation(("/data",), "2026-01-01", {"mask_iou": 0.5}, max_images=3, unknown_classes=("x",)),),
    )


@pytest.fixture
def human_path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "teachers" / "human.safetensors"
    save_teacher(
        build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2), card_of(Kind.HUMAN, "pspnet_squeezenet1_1", 2), path
    )
    return path


@pytest.mark.parametrize(
    ("kind", "architecture", "classes"),
    [
        (Kind.HUMAN, "pspnet_squeezenet1_1", 2),
        (Kind.HUMAN, "pspnet_densenet121", 20),
        (Kind.SCENE, "squeezenet1_1", 365),
        (Kind.SCENE, "resnet18", 365),
    ],
)
def test_round_trip_gives_bit_equal_predictions(tmp_path: Path, kind: Kind, architecture: str, classes: int) -> None:
    torch.manual_seed(0)
    network = build_network(kind, architecture, classes)
    card = card_of(kind, architecture, classes)
    path = tmp_path / f"{kind}.safetensors"
    written = save_teacher(network, card, path)
    frames = torch.randint(0, 256, (2, 48, 60, 3), dtype=torch.uint8)
    if kind == Kind.HUMAN:
        loaded = human.load(path, device=CPU, precision="float32")
        original = human.HumanTeacher(network, preprocessing=card.preprocessing, name=architecture)
        assert torch.equal(loaded.predict_probabilities(frames), original.predict_probabilities(frames))
        assert loaded.sha256 == written.sha256
    else:
        loaded_scene = scene.load(path, device=CPU, precision="float32")
        original_scene = scene.SceneTeacher(network, preprocessing=card.preprocessing, name=architecture)
        assert torch.equal(loaded_scene.predict_probabilities(frames), original_scene.predict_probabilities(frames))
    assert load_teacher(path, kind)[1] == written
    assert dataclasses.replace(written, sha256="") == card


def test_a_missing_teacher_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"kinet-pipeline teacher import human FILE.*teacher train human"):
        human.load(tmp_path / "human.safetensors", device=CPU, precision="float32")


def test_one_flipped_bit_is_refused(human_path: Path) -> None:
    content = bytearray(human_path.read_bytes())
    content[-1000] ^= 1
    human_path.write_bytes(content)
    with pytest.raises(TeacherError, match=r"sha256.*altered or cut short"):
        load_teacher(human_path, Kind.HUMAN)


def change_side_file(path: Path, name: str, value: object) -> None:
    fields = json.loads(side_path(path).read_text())
    fields[name] = value
    side_path(path).write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("architecture", "vgg99", "unknown architecture 'vgg99'; known are pspnet_densenet121"),
        ("classes", 20, r"weights do not fit: head.weight is \[2, 256, 1, 1\], expected \[20, 256, 1, 1\]"),
        ("classes", 7, "7 classes, expected 20 or 2"),
        ("architecture", "pspnet_densenet121", r"is missing.*and \d+ more"),
        ("kind", "scene", "a scene teacher, expected a human teacher"),
        ("preprocessing", {"height": 3}, "not a teacher's side file"),
    ],
)
def test_a_side_file_that_does_not_fit_is_named(human_path: Path, name: str, value: object, message: str) -> None:
    change_side_file(human_path, name, value)
    with pytest.raises(TeacherError, match=message):
        load_teacher(human_path, Kind.HUMAN)


def test_a_side_file_that_is_no_json_is_named(human_path: Path) -> None:
    side_path(human_path).write_text("{")
    with pytest.raises(TeacherError, match="not a teacher's side file"):
        load_teacher(human_path, Kind.HUMAN)


def test_weights_are_plain_safetensors_and_nothing_else_is_left(human_path: Path) -> None:
    assert (
        safetensors.torch.load_file(human_path).keys()
        == build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2).state_dict().keys()
    )
    assert sorted(path.name for path in human_path.parent.iterdir()) == ["human.json", "human.safetensors"]


def save_another(path: Path, seed: int) -> TeacherCard:
    torch.manual_seed(seed)
    network = build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2)
    return save_teacher(network, card_of(Kind.HUMAN, "pspnet_squeezenet1_1", 2), path)


def test_the_former_teacher_outlives_a_crash_between_the_two_renames(human_path: Path) -> None:
    first = load_teacher(human_path, Kind.HUMAN)[1]
    side_file = side_path(human_path).read_bytes()
    second = save_another(human_path, seed=1)
    side_path(human_path).write_bytes(side_file)  # as the crash leaves it: the second's weights, the first's side file
    assert load_teacher(previous_path(human_path), Kind.HUMAN)[1] == first
    assert save_another(human_path, seed=1) == second
    assert load_teacher(previous_path(human_path), Kind.HUMAN)[1] == first
    assert load_teacher(human_path, Kind.HUMAN)[1] == second
    save_another(human_path, seed=2)
    assert load_teacher(previous_path(human_path), Kind.HUMAN)[1] == second
