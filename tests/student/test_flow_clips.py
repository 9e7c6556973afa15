"""Flow in place of frames: reading stacks, mirroring them, and the commands of the temporal stream."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models import squeezenet1_1

from manifests import read_manifest, write_manifest
from manifests.record import VideoRecord
from pipeline.errors import ShardError, VideoError, WorkspaceError
from pipeline.flow.coding import decode
from pipeline.flow.settings import FlowSettings
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.local import LocalPool
from pipeline.label.settings import LabelSettings
from pipeline.shards import LabelIndex
from pipeline.workspace import Workspace
from student.dataset import EvaluationDataset
from student.evaluation import Views, score_videos
from student.flow_clips import FlowReader, open_flow
from student.normalisation import CAFFE, CENTRED, IMAGENET, flow_normalisation, normalise
from student.recipes import TrainConfig
from student.transforms import CropBox, crop_frames, cut_crop
from student.tsn import TSN, tsn_squeezenet1_1
from tests.student.conftest import NUM_FRAMES, LabelledVideos
from tests.student.test_commands import call

SMALL = ["--recipe", "small", "--set", "input_size=64", "--set", "epochs=1", "--set", "batch_size=4"]
SMALL += ["--set", "micro_batch=4", "--loader-workers", "0"]


def stored_flows(flows: LabelIndex, record: VideoRecord) -> NDArray[np.uint8]:
    """Return every flow of a video: uint8 [n, 2, H, W]."""
    streams = flows.read(record.video_id, range(flows.num_frames(record.video_id))).flows
    assert streams is not None
    return np.stack([decode(stream) for stream in streams])


@pytest.fixture(scope="module")
def flow_workspace(boxes: LabelledVideos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the flow of four training videos and two to test on."""
    root = tmp_path_factory.mktemp("flow")
    records = [replace(record, split="train" if n < 4 else "test") for n, record in enumerate(boxes.records)]
    write_manifest(Workspace(root).manifest_path("boxes"), records)
    shards_dir = Workspace(root).flow_shards_dir("boxes")
    with LocalPool(FlowSettings("dis"), LabelSettings(), shards_dir) as pool:
        report = run_label_job(LabelJob("boxes", records, shards_dir), pool, lambda _: None)
    assert report.status.ok == len(records)
    return root


def test_a_stack_holds_five_flows_and_repeats_the_last(flow_workspace: Path) -> None:
    records = read_manifest(Workspace(flow_workspace).manifest_path("boxes"))
    flows = open_flow(Workspace(flow_workspace), "boxes", records)
    reader, record = FlowReader(flows), records[0]
    assert reader.num_frames(record) == NUM_FRAMES
    read = reader.read(record, np.array([1, NUM_FRAMES - 2]))
    stored = stored_flows(flows, record)
    assert read.frames.shape == (2, 256, 340, 10) and read.frames.dtype == np.uint8
    assert not read.has_label.any() and read.mismatched == ()
    for place, frame in enumerate([1, 2, 3, 4, 5]):
        assert np.array_equal(read.frames[0, ..., 2 * place], stored[frame, 0])
        assert np.array_equal(read.frames[0, ..., 2 * place + 1], stored[frame, 1])
    for place, frame in enumerate([NUM_FRAMES - 2, *[NUM_FRAMES - 1] * 4]):
        assert np.array_equal(read.frames[1, ..., 2 * place], stored[frame, 0])


def test_the_moving_box_is_in_the_flow(flow_workspace: Path) -> None:
    records = read_manifest(Workspace(flow_workspace).manifest_path("boxes"))
    flows = open_flow(Workspace(flow_workspace), "boxes", records)
    for record in records[:2]:
        moving = np.abs(stored_flows(flows, record)[2].astype(float) - 128).max(axis=(1, 2))
        # To the right in class 0, downward in class 1.
        assert (moving[0] > moving[1]) == (record.label == 0)


def test_a_video_without_flow_is_named_with_its_way_out(flow_workspace: Path) -> None:
    records = read_manifest(Workspace(flow_workspace).manifest_path("boxes"))
    stranger = replace(records[0], video_id="stranger")
    with pytest.raises(VideoError, match=r"stranger.*status --flow"):
        FlowReader(open_flow(Workspace(flow_workspace), "boxes", records)).num_frames(stranger)


@pytest.mark.parametrize("loader_workers", [0, 1])
def test_a_damaged_shard_ends_the_scoring_as_its_own_fault(
    flow_workspace: Path, tmp_path: Path, loader_workers: int
) -> None:
    root = Path(shutil.copytree(flow_workspace, tmp_path / "workspace"))
    records = read_manifest(Workspace(root).manifest_path("boxes"))
    reader = FlowReader(open_flow(Workspace(root), "boxes", records))
    for shard in Workspace(root).flow_shards_dir("boxes").rglob("*.h5"):
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    views = Views(num_segments=3, num_crops=1, input_size=64, modality="flow")
    dataset = EvaluationDataset(records, num_segments=3, input_size=64, reader=reader)
    with pytest.raises(ShardError):
        score_videos(
            tsn_squeezenet1_1(2, in_channels=10), dataset, views, device=torch.device("cpu"),
            precision="float32", loader_workers=loader_workers,
        )  # fmt: skip


def test_a_data_set_without_flow_says_how_to_get_it(workspace: Path) -> None:
    records = read_manifest(Workspace(workspace).manifest_path("boxes"))
    with pytest.raises(WorkspaceError, match="kinet-pipeline extract-flow --dataset boxes"):
        open_flow(Workspace(workspace), "boxes", records)


def test_a_flip_mirrors_flow_and_inverts_x_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    stacks = torch.randint(1, 256, (2, 10, 60, 80), dtype=torch.uint8, generator=generator)
    before = stacks.clone()
    plain = cut_crop(stacks, CropBox(0, 3, 60, 60, False), is_flow=True)
    flipped = cut_crop(stacks, CropBox(0, 3, 60, 60, True), is_flow=True)
    assert torch.equal(flipped[:, ::2].int(), 256 - plain[:, ::2].flip(-1).int())
    assert torch.equal(flipped[:, 1::2], plain[:, 1::2].flip(-1))
    again = cut_crop(flipped, CropBox(0, 0, 60, 60, True), is_flow=True)
    assert torch.equal(again, plain)
    frames_THWC = stacks.permute(0, 2, 3, 1)
    small = [crop_frames(frames_THWC, CropBox(4, 3, 50, 60, flip), 32, is_flow=True) for flip in (False, True)]
    assert torch.equal(small[1][:, ::2].int(), 256 - small[0][:, ::2].flip(-1).int())
    assert torch.equal(stacks, before)


@pytest.mark.parametrize(("rgb", "std"), [(IMAGENET, 0.226), (CAFFE, 1 / 255), (CENTRED, 0.5)])
def test_rest_is_zero_and_opposites_cancel_for_every_backbone(rgb: object, std: float) -> None:
    normalisation = flow_normalisation(rgb)  # type: ignore[arg-type]
    assert normalisation.std[0] == pytest.approx(std, abs=1e-3) and not normalisation.bgr
    values = torch.arange(1, 256, dtype=torch.uint8).reshape(1, 1, 255).expand(10, 1, 255)
    scaled = normalise(values, normalisation)
    assert scaled[:, 0, 127].abs().max() < 1e-6
    assert torch.allclose(scaled, -scaled.flip(-1), atol=1e-4 / std)


def test_a_flow_student_starts_from_the_colours_averaged(tmp_path: Path) -> None:
    from student.initialisation import load_imagenet_weights

    weights = squeezenet1_1(weights=None).state_dict()
    torch.save(weights, tmp_path / "squeezenet.pth")
    model: TSN = tsn_squeezenet1_1(3, in_channels=10)
    load_imagenet_weights(model, tmp_path / "squeezenet.pth")
    first = next(parameter for parameter in model.parameters() if parameter.dim() == 4)
    mean = weights["features.0.weight"].mean(dim=1)
    assert first.shape[1] == 10
    assert all(torch.allclose(first[:, channel], mean) for channel in range(10))


def test_flow_with_another_model_than_tsn_is_refused() -> None:
    with pytest.raises(ValueError, match="the model for flow is tsn"):
        TrainConfig(model="kinet", modality="flow")


def test_a_flow_run_is_trained_evaluated_and_exported(flow_workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--workspace", str(flow_workspace)]
    trained = ["train-student", *place, "--dataset", "boxes", *SMALL, "--modality", "flow", "--json"]
    code, out, err = call(capsys, *trained, "--set", "validation_split=test")
    assert code == 0, err
    run_dir = Path(json.loads(out)["run_dir"])
    assert run_dir.name == "boxes-tsn-squeezenet1_1-flow"
    assert 'modality = "flow"' in (run_dir / "config.toml").read_text()
    scored = ["evaluate", run_dir.name, *place, "--dataset", "boxes", "--segments", "3", "--crops", "10", "--json"]
    code, out, err = call(capsys, *scored, "--loader-workers", "0")
    assert code == 0, err
    result = json.loads(out)
    assert (result["videos"], result["missing"], result["modality"]) == (2, 0, "flow")
    code, out, err = call(capsys, "export", run_dir.name, *place, "--format", "safetensors", "--json")
    assert code == 0, err
    card = json.loads(Path(json.loads(out)["card"]).read_text())
    assert card["modality"] == "flow" and "[clips, 3, 10, 64, 64]" in card["input"]


def test_kinet_on_flow_is_wrong_usage(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["train-student", "--workspace", str(workspace), "--dataset", "boxes", "--modality", "flow"]
    code, _, err = call(capsys, *asked, "--model", "kinet")
    assert code == 2 and "tsn" in err


def test_training_on_flow_that_is_not_there_says_how_to_get_it(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train-student", "--workspace", str(workspace), "--dataset", "boxes", *SMALL, "--modality", "flow"]
    code, _, err = call(capsys, *asked)
    assert code == 1 and "kinet-pipeline extract-flow --dataset boxes" in err
