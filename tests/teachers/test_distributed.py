"""Several processes train a teacher as one: the same steps and the same weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pipeline.cli import main
from pipeline.training.checkpoint import load_latest_checkpoint
from pipeline.training.runlog import read_metrics
from pipeline.training.state import CHECKPOINT_DIR
from pipeline.training.world import ALONE, World
from teachers.architectures import build_network, default_preprocessing
from teachers.augmentation import SceneAugmentation
from teachers.datasets import SceneImages
from teachers.kinds import Kind
from teachers.loading import ImagePlan
from teachers.losses import scene_loss
from teachers.settings import TrainingSettings
from teachers.sources import find_scene_images
from teachers.training import TrainingPlace, train_network
from tests.ray_head import ray_head
from tests.teachers.conftest import write_folder_pairs, write_scenes


@pytest.mark.parametrize(("batch_size", "size"), [(5, 2), (6, 4), (3, 4), (1, 2)])
def test_ranks_share_each_step_without_overlap(batch_size: int, size: int) -> None:
    alone = ImagePlan(num_images=13, batch_size=batch_size, epochs=2, seed=1)
    shares = [list(replace(alone, world=World(rank, size)).remaining_batches(0)) for rank in range(size)]
    steps = list(alone.remaining_batches(0))
    assert len(steps) == alone.total_steps
    for step, expected in enumerate(steps):
        dealt = [key for share in shares for key in share[step]]
        assert sorted(dealt) == sorted(expected)
    assert list(alone.remaining_batches(3)) == steps[3:]
    for epoch in range(2):
        visited = [key.item for step in steps for key in step if key.epoch == epoch]
        assert len(set(visited)) == len(visited) == alone.epoch_steps * batch_size


def train(data_dir: Path, run_dir: Path, world: World) -> None:
    torch.manual_seed(0)
    network = build_network(Kind.SCENE, "squeezenet1_1", 365)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0  # of which each rank would draw its own
    images = find_scene_images([data_dir]).train
    dataset = SceneImages(images, augmentation=SceneAugmentation(height=40, width=40), seed=0)
    train_network(
        network,
        dataset,
        scene_loss,
        TrainingSettings(epochs=2, batch_size=5, learning_rate=0.01, schedule="cosine", log_every=1),
        TrainingPlace(run_dir, torch.device("cpu"), world),
        preprocessing=default_preprocessing(Kind.SCENE, (40, 40)),
    )


def train_rank(rank: int, data_dir: Path, run_dir: Path, meet: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    train(data_dir, run_dir, World(rank, 2))
    dist.destroy_process_group()


def test_two_ranks_learn_what_one_process_does(tmp_path: Path) -> None:
    data_dir = write_scenes(tmp_path / "scenes", ("airfield", "beach"), 5)
    (data_dir / "train" / "beach" / "1.jpg").write_bytes(b"no image")
    train(data_dir, tmp_path / "one", ALONE)
    mp.spawn(train_rank, (data_dir, tmp_path / "two", tmp_path / "meet"), nprocs=2)
    states = [load_latest_checkpoint(tmp_path / name / CHECKPOINT_DIR) for name in ("one", "two")]
    assert states[0] is not None
    assert states[1] is not None
    assert states[0]["step"] == states[1]["step"] == 4
    assert states[0]["images"] == states[1]["images"] == 18
    for key, weight in states[0]["model"].items():
        torch.testing.assert_close(weight, states[1]["model"][key], rtol=1e-4, atol=1e-6)
    assert [row["images"] for row in read_metrics(tmp_path / "two")] == [
        row["images"] for row in read_metrics(tmp_path / "one")
    ]
    assert len((tmp_path / "two" / "faults.jsonl").read_text().splitlines()) == 1


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_ray_worker_ends_as_this_process_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people_dir = write_folder_pairs(tmp_path / "people", 16)
    command = ["teacher", "train", "human", "--data", str(people_dir), "--architecture", "pspnet_squeezenet1_1"]
    command += ["--classes", "2", "--input-size", "32x40", "--batch-size", "4", "--epochs", "2", "--json"]
    cards = []
    with ray_head(num_cpus=2, include_dashboard=False) as cluster:
        on_ray = ["--address", cluster.address, "--workers"]
        for name, more in (("plain", []), ("one", [*on_ray, "1"]), ("two", [*on_ray, "2"])):
            main([*command, "--workspace", str(tmp_path / name), *more])
            cards.append(json.loads(capsys.readouterr().out))
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert cards[0]["training"]["last_loss"] == cards[1]["training"]["last_loss"]
    assert [card["training"]["steps"] for card in cards] == [6, 6, 6]
    assert [card["training"]["images"] for card in cards] == [24, 24, 24]
