"""What is exported gives the logits of the run it came from, in programs that know nothing of this project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch

from pipeline.cli import main
from pipeline.training.weights import read_state_dict
from pipeline.video import read_frames
from pipeline.workspace import Workspace
from student.deployment import DeployedStudent, draw_test_clips
from student.export import MAX_LOGIT_DIFFERENCE, ExportError, export_run
from student.normalisation import normalise
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, load_student
from student.transforms import CropBox, cut_crop, scale_for_test
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
    assert len(found[0].strip().splitlines()) <= 10
    return found[0]


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
        assert "256 x 340" in card["frames"] and "shorter side is 55 pixels" in card["frames"]
        if file_format == "safetensors":
            names = read_state_dict(Path(report["path"])).keys()
            assert not any(name.startswith(("human_decoder", "scene_classifier")) for name in names)
            continue
        code = example_from_docs(file_format).replace("FILE", report["path"]).replace("CLIPS", "clips.pt")
        done = subprocess.run(  # in a folder and a path that hold nothing of ours
            [sys.executable, "-I", "-W", "ignore", "-c", code + "\nprint(logits.tolist())"],
            cwd=workspace, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        torch.testing.assert_close(torch.tensor(json.loads(done.stdout.splitlines()[-1])), expected, rtol=0, atol=1e-4)
    assert not list((run_dir / "export").glob("*.part*"))


@pytest.mark.realdata
def test_the_onnx_file_scores_a_real_clip_as_the_run_does(run_dir: Path) -> None:
    data_dir = os.environ.get("KINET_REAL_DATA")
    if not data_dir:
        pytest.skip("KINET_REAL_DATA is not set: no real clip at hand")
    clip = next(iter(sorted((Path(data_dir) / "clips").glob("*.mp4"))))
    frames = read_frames(clip, [0, 5, 10])
    cut = cut_crop(scale_for_test(torch.from_numpy(frames), 48), CropBox(3, 12, 48, 48, False))[None]
    config = read_run_config(run_dir / CONFIG_FILE)
    student = load_student(run_dir, config)[0].eval()
    with torch.inference_mode():
        expected = student(normalise(cut, student.normalisation)).action_logits
    report = export_run(Workspace(run_dir.parents[1]), "r", "onnx")
    (logits,) = onnxruntime.InferenceSession(report.path).run(None, {"frames": cut.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)


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
