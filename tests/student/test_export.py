"""What is exported gives the logits of the run it came from, in programs that know nothing of this project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manifests.record import VideoRecord
from manifests.synthetic import SyntheticSpec, write_synthetic
from pipeline.cli import main
from pipeline.training.weights import read_state_dict
from pipeline.workspace import Workspace
from student.dataset import EvaluationClip, EvaluationDataset
from student.deployment import DeployedStudent, draw_test_clips
from student.evaluation import Views, score_clip
from student.export import MAX_LOGIT_DIFFERENCE, ExportError, export_run
from student.normalisation import normalise
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, load_student
from tests.student.workspaces import SMALL

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def run_dir(workspace: Path) -> Path:
    main(["train-student", "--workspace", str(workspace), "--dataset", "boxes", "--run", "r", *SMALL])
    return workspace / "runs" / "r"


def example_from_docs(file_format: str) -> str:
    """The example that the documentation gives for a format."""
    text = (REPOSITORY / "docs" / "student.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    found = [block for block in blocks if f"# {file_format}" in block]
    assert len(found) == 1
    assert len(found[0].strip().splitlines()) <= 12
    return found[0]


def run_elsewhere(code: str, folder: Path, *arguments: str) -> torch.Tensor:
    """Run a program in a folder and on a path that hold nothing of ours; return the logits that it prints last."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", code, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return torch.tensor(json.loads(done.stdout.splitlines()[-1]))


def test_every_format_gives_the_full_students_logits(
    run_dir: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_run_config(run_dir / CONFIG_FILE)
    student = load_student(run_dir, config)[0].eval()
    clips = draw_test_clips(2, 3, 48, seed=5)
    torch.save(clips, workspace / "clips.pt")
    with torch.inference_mode():
        expected = student(normalise(clips, student.normalisation)).action_logits
    capsys.readouterr()
    for file_format in ("safetensors", "torchscript", "onnx"):
        main(["export", "r", "--workspace", str(workspace), "--format", file_format, "--json"])
        report = json.loads(capsys.readouterr().out)
        assert report["max_logit_difference"] <= MAX_LOGIT_DIFFERENCE
        assert report["parameters"] < report["full_parameters"]
        card = json.loads(Path(report["card"]).read_text())
        assert card["classes"] == ["right", "down"]
        assert card["preprocessing"]["scaled_size"] == [55, 73]
        if file_format == "safetensors":
            names = read_state_dict(Path(report["path"])).keys()
            assert not any(name.startswith(("human_decoder", "scene_classifier")) for name in names)
            continue
        code = example_from_docs(file_format).replace("FILE", report["path"]).replace("CLIPS", "clips.pt")
        logits = run_elsewhere(code + "\nprint(logits.tolist())", workspace)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    assert not list((run_dir / "export").glob("*.part*"))


def test_the_weights_of_a_tsn_run_without_the_project(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [part if part != "squeezenet1_1" else "resnet18" for part in SMALL]
    main(["train-student", "--workspace", str(workspace), "--dataset", "boxes", "--run", "r", *small, "--model", "tsn"])
    run_dir = workspace / "runs" / "r"
    student = load_student(run_dir, read_run_config(run_dir / CONFIG_FILE))[0].eval()
    clips = draw_test_clips(2, 3, 48, seed=5)
    torch.save(clips, workspace / "clips.pt")
    with torch.inference_mode():
        expected = student(normalise(clips, student.normalisation)).action_logits
    report = export_run(Workspace(workspace), "r", "safetensors")
    code = example_from_docs("safetensors").replace("FILE", report.path).replace("CLIPS", "clips.pt")
    logits = run_elsewhere(code + "\nprint(logits.tolist())", workspace)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


SCORE_BY_CARD = """
import json, sys, av, numpy, onnxruntime, torch
onnx_file, video = sys.argv[1:]
card = json.load(open(onnx_file + ".json"))
made = card["preprocessing"]
with av.open(video) as container:
    frames = list(container.decode(video=0))
(height, width), scaled, crop = made["frame_size"], made["scaled_size"], made["crop"]
parts = card["num_segments"]
chosen = [frames[(2 * k + 1) * len(frames) // (2 * parts)] for k in range(parts)]
coded = made["resize_pixel_format"].split()[0]
small = [f.reformat(width=width, height=height, format=coded, interpolation="BILINEAR") for f in chosen]
small = [f.reformat(format="rgb24").to_ndarray() for f in small]
clip = torch.from_numpy(numpy.stack(small)).permute(0, 3, 1, 2).contiguous()
clip = torch.nn.functional.interpolate(clip, size=scaled, mode="bilinear", antialias=True)
rows, columns = (slice(crop[edge], crop[edge] + crop["size"]) for edge in ("top", "left"))
session = onnxruntime.InferenceSession(onnx_file)
print(session.run(["logits"], {"frames": clip[None, :, :, rows, columns].numpy()})[0].tolist())
"""
"""A program that knows the JSON beside an ONNX file, and nothing else of this project."""


def check_by_card(run_dir: Path, video: Path) -> None:
    """Compare what `SCORE_BY_CARD` says of a video with what the run's evaluation says."""
    config = read_run_config(run_dir / CONFIG_FILE)
    recipe = config.recipe
    report = export_run(Workspace(run_dir.parents[1]), run_dir.name, "onnx")
    views = Views(recipe.num_segments, 1, recipe.num_segments, input_size=recipe.input_size)
    record = VideoRecord("clip", video, "test", 0, "any")
    clip = EvaluationDataset([record], num_segments=recipe.num_segments, input_size=recipe.input_size)[0]
    assert isinstance(clip, EvaluationClip)
    expected = score_clip(load_student(run_dir, config)[0].eval(), clip.frames, views)
    (found,) = run_elsewhere(SCORE_BY_CARD, run_dir, report.path, str(video))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_the_card_alone_says_how_a_video_is_scored(run_dir: Path, tmp_path: Path) -> None:
    spec = SyntheticSpec(num_motions=2, videos_per_class=1, test_videos_per_class=0)
    record = write_synthetic(tmp_path / "videos", spec).records[0]
    check_by_card(run_dir, record.path)


@pytest.mark.realdata
def test_the_onnx_file_scores_a_real_clip_as_the_run_does(run_dir: Path) -> None:
    data_dir = os.environ.get("KINET_REAL_DATA")
    if not data_dir:
        pytest.skip("KINET_REAL_DATA is not set: no real clip at hand")
    check_by_card(run_dir, next(iter(sorted((Path(data_dir) / "jhmdb" / "videos").rglob("*.mp4")))))


def test_a_student_that_scores_otherwise_is_not_written(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployed form with a fault: one is added to its logits."""
    right = DeployedStudent.forward
    monkeypatch.setattr(DeployedStudent, "forward", lambda self, frames: right(self, frames) + 1)
    with pytest.raises(ExportError, match=r"differ by 1.00e\+00 .* nothing was written"):
        export_run(Workspace(run_dir.parents[1]), "r", "safetensors")
    assert not list((run_dir / "export").iterdir())


def test_the_best_checkpoint_needs_a_validation(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "r", "--workspace", str(run_dir.parents[1]), "--format", "safetensors"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--checkpoint", "best"])
    assert end.value.code == 1
    assert "--set validation_split=NAME" in " ".join(capsys.readouterr().err.split())
