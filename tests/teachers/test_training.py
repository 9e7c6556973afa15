"""Training learns, repeats itself, and names its faults."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manifests.images import MaskedImage
from pipeline.errors import TeacherError
from teachers.architectures import build_network, default_preprocessing
from teachers.augmentation import HumanAugmentation
from teachers.datasets import HumanImages, read_masked_image, sample_generator
from teachers.jobs import TeacherRequest, TeacherResult, train_teacher
from teachers.kinds import Kind
from teachers.losses import human_loss
from teachers.psp import pspnet_squeezenet1_1
from teachers.runs import TrainingRequest
from teachers.settings import TrainingSettings, scheduled_rate
from teachers.sources import HELD_BACK_EVERY, find_human_images
from teachers.storage import load_teacher
from teachers.training import TrainingPlace, train_network
from tests.teachers.conftest import write_scenes


def request_of(data_dir: Path, kind: Kind, settings: TrainingSettings) -> TrainingRequest:
    human = kind == Kind.HUMAN
    return TrainingRequest(
        kind=kind,
        data_dirs=(data_dir,),
        architecture="pspnet_squeezenet1_1" if human else "squeezenet1_1",
        classes=2 if human else 365,
        input_size=(32, 40),
        init_path=None,
        layout=None,
        settings=settings,
    )


def train_people(people_dir: Path, target: Path, *, loader_workers: int = 0, **changes: int) -> TeacherResult:
    """Train in the folder `run` beside the teacher's file."""
    values = {"epochs": 12, "batch_size": 4, "seed": 1} | changes
    settings = TrainingSettings(learning_rate=0.02, schedule="poly", **values)  # type: ignore[arg-type]
    request = TeacherRequest(request_of(people_dir, Kind.HUMAN, settings), loader_workers=loader_workers)
    return train_teacher(request, target.parent / "run", target)


def test_a_human_teacher_learns_from_tiny_images(people_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "ws" / "human.safetensors"
    card, summary = train_people(people_dir, target)
    assert summary.ended_by == "epochs"
    assert summary.steps == 12 * 3  # 14 images train, batches of 4; an incomplete one is left out
    assert summary.last_loss < 0.6 * summary.first_loss
    assert card.scores["images"] == 16 // HELD_BACK_EVERY
    assert card.scores["mask_iou"] > 0.4
    assert load_teacher(target, Kind.HUMAN)[1] == card


def test_a_seed_gives_the_same_teacher_whoever_reads_the_images(people_dir: Path, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    first = train_people(people_dir, tmp_path / "a" / "human.safetensors", epochs=1)
    again = train_people(people_dir, tmp_path / "b" / "human.safetensors", epochs=1, loader_workers=1)
    other = train_people(people_dir, tmp_path / "c" / "human.safetensors", epochs=1, seed=2)
    assert first.card.sha256 == again.card.sha256 != other.card.sha256
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_scene_teacher_learns_and_classes_without_a_places365_name_are_left_out(tmp_path: Path) -> None:
    data_dir = write_scenes(tmp_path / "scenes", ("airfield", "beach", "my_own_room"), 6)
    settings = TrainingSettings(epochs=10, batch_size=6, learning_rate=0.02, schedule="cosine")
    request = TeacherRequest(request_of(data_dir, Kind.SCENE, settings))
    card, summary = train_teacher(request, tmp_path / "run", tmp_path / "s.safetensors")
    assert summary.images == 120  # two classes of six, ten times
    assert summary.last_loss < summary.first_loss
    assert card.classes == 365
    assert card.scores["images"] == 4
    assert card.scores["top5"] == 1


def test_a_damaged_image_is_counted_and_the_rest_is_learned_from(people_dir: Path, tmp_path: Path) -> None:
    (people_dir / "images" / "003.jpg").write_bytes(b"no image")
    summary = train_people(people_dir, tmp_path / "human.safetensors", epochs=2, batch_size=14).summary
    assert summary.unusable_images == 1
    assert summary.images == 2 * 13


def test_without_one_usable_image_the_fault_says_why(people_dir: Path, tmp_path: Path) -> None:
    for path in (people_dir / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(TeacherError, match=r"no training image could be used.*not a readable image"):
        train_people(people_dir, tmp_path / "human.safetensors", epochs=1)
    assert not (tmp_path / "human.safetensors").exists()


def test_ids_beyond_the_head_are_named(people_dir: Path) -> None:
    image = find_human_images([people_dir]).train[0]
    with pytest.raises(TeacherError, match="class id 3, expected 0 to 2; merge parts"):
        read_masked_image(image, 3)
    assert set(read_masked_image(image, 2).target.unique().tolist()) == {0, 1}
    assert set(read_masked_image(image, 20).target.unique().tolist()) == {0, 3}


class FullNetwork(torch.nn.Module):
    """A network too large for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")


def test_a_full_device_is_a_fault_with_a_way_out(people_dir: Path, tmp_path: Path) -> None:
    images = find_human_images([people_dir]).train
    dataset = HumanImages(images, classes=2, augmentation=HumanAugmentation(height=32, width=40), seed=0)
    settings = TrainingSettings(epochs=1, batch_size=4, learning_rate=0.01, schedule="poly")
    expected = r"cpu .* batch of 4 images \(CUDA out of memory\. Tried to allocate 2\.00 GiB\.\); lower --batch-size"
    with pytest.raises(TeacherError, match=expected):
        train_network(
            FullNetwork(),
            dataset,
            human_loss,
            settings,
            TrainingPlace(tmp_path, torch.device("cpu")),
            preprocessing=default_preprocessing(Kind.HUMAN, (32, 40)),
        )


def test_time_bound_ends_a_run_whose_rate_has_fallen(people_dir: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = find_human_images([people_dir]).train
    dataset = HumanImages(images, classes=2, augmentation=HumanAugmentation(height=32, width=40), seed=0)
    settings = TrainingSettings(epochs=100_000, batch_size=4, learning_rate=0.01, schedule="poly", max_minutes=1 / 60)
    network = pspnet_squeezenet1_1(2)
    summary = train_network(
        network,
        dataset,
        human_loss,
        settings,
        TrainingPlace(tmp_path, torch.device("cpu")),
        preprocessing=default_preprocessing(Kind.HUMAN, (32, 40)),
    )
    assert summary.ended_by == "time"
    assert 1 <= summary.seconds < 20
    assert not network.training


def test_loss_counts_the_auxiliary_head_and_not_the_ignored() -> None:
    torch.manual_seed(0)
    network = pspnet_squeezenet1_1(2).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0
    x = torch.randn(1, 3, 32, 32)
    targets = torch.randint(0, 2, (1, 32, 32))
    targets[:, :8] = 255
    outputs = network(x)
    expected = 0.0
    for logits, weight in ((outputs.logits, 1.0), (outputs.aux_logits, 0.4)):
        picked = logits.log_softmax(1).gather(1, targets.clamp(max=1)[:, None])[:, 0]
        expected += weight * -picked[targets != 255].mean().item()
    assert human_loss(network, x, targets).mean.item() == pytest.approx(expected, rel=1e-5)
    assert int(human_loss(network, x, targets).num_terms) == 24 * 32
    nothing = human_loss(network, x, torch.full_like(targets, 255)).mean
    assert nothing.item() == 0
    nothing.backward()


def test_rates_by_hand() -> None:
    poly = TrainingSettings(epochs=1, batch_size=1, learning_rate=0.1, schedule="poly")
    assert [scheduled_rate(poly, p) for p in (0, 0.5, 1)] == pytest.approx([0.1, 0.1 * 0.5**0.9, 0])
    cosine = TrainingSettings(epochs=1, batch_size=1, learning_rate=0.1, schedule="cosine")
    assert [scheduled_rate(cosine, p) for p in (0, 0.5, 1, 2)] == pytest.approx([0.1, 0.05, 0, 0])


@pytest.mark.parametrize("change", [{"epochs": 0}, {"learning_rate": -1.0}, {"max_minutes": 0.0}, {"schedule": "step"}])
def test_settings_are_validated(change: dict[str, object]) -> None:
    values = {"epochs": 1, "batch_size": 1, "learning_rate": 0.1, "schedule": "poly"} | change
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainingSettings(**values)  # type: ignore[arg-type]


def test_samples_differ_by_seed_epoch_and_index() -> None:
    draws = {
        float(torch.rand((), generator=sample_generator(seed, epoch, index)))
        for seed in range(2)
        for epoch in range(3)
        for index in range(4)
    }
    assert len(draws) == 24


def test_networks_are_named_one_by_one() -> None:
    with pytest.raises(TeacherError, match="unknown architecture"):
        build_network(Kind.SCENE, "pspnet_densenet121", 365)


def test_an_image_that_is_read_smaller_fits_its_map(tmp_path: Path) -> None:
    # At an eighth of its size, rounded up, the proportions are no longer the map's.
    Image.fromarray(np.zeros((513, 1100, 3), np.uint8)).save(tmp_path / "w.jpg")
    Image.fromarray(np.zeros((513, 1100), np.uint8)).save(tmp_path / "w.png")
    sample = read_masked_image(MaskedImage(tmp_path / "w.jpg", tmp_path / "w.png"), 2, at_least=(128, 128))
    assert sample.image.shape[1] < 513
    assert sample.target.shape == (513, 1100)
