"""The documented example of a user's own teacher labels; one that does not follow the protocol is one clear line."""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.errors import TeacherError
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.local import LocalPool
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.teacher_loading import load_teachers
from pipeline.shards import LabelIndex
from pipeline.video import read_frames
from tests.pipeline.commands.test_label_status_verify import run
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench
from tests.pipeline.label.toy_teachers import HARM_VARIABLE

DOCUMENT = Path(__file__).parents[3] / "docs" / "own-teacher.md"


def test_the_documented_teacher_labels(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    (tmp_path / "my_teachers.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    network = nn.Conv2d(3, 2, 3, padding=1)
    save_file(network.state_dict(), bench.teachers.human_path)
    options = ("--workers", "0", "--batch-size", "8", "--teachers", "human", "--human-teacher", "my_teachers:load")
    result = run(bench, "label", *options)
    assert result.exit_code == 0, result.output
    index = LabelIndex(bench.shards_dir / "human")
    record = next(record for record in bench.records if record.video_id == "good0")
    frames = torch.from_numpy(read_frames(record.path, range(5)))
    x = nn.functional.interpolate(
        frames[..., [2, 1, 0]].permute(0, 3, 1, 2) / 127.5 - 1, size=(128, 170), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        background, person = nn.functional.interpolate(network(x), size=(256, 340), mode="bilinear").unbind(1)
    masks = index.read("good0", range(5)).masks
    assert masks is not None and 0 < masks.mean() < 1
    np.testing.assert_array_equal(masks, (person > background).numpy())


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("tests.nowhere:load", "No module named 'tests.nowhere'; give an importable module:function"),
        ("tests.pipeline.label.wrong_teachers:gone", "has no attribute 'gone'"),
        ("positional", r"signature must be \(weights_path, \*, device, precision\), but missing a required argument"),
        ("failing", "its factory failed: FileNotFoundError: .*nowhere/weights.pt"),
        ("nameless", "made a SimpleNamespace without a name"),
        ("floats", r"predict_masks must be bool \[2, 256, 340\], found float32 \[2, 256, 340\]"),
        ("small", r"predict_masks must be bool \[2, 256, 340\], found bool \[2, 128, 170\]"),
        ("arrays", "predict_masks must be a tensor, found ndarray"),
        ("crashing", "failed on 2 black frames: RuntimeError"),
    ],
)
def test_a_human_teacher_that_does_not_fit_is_one_line(factory: str, message: str) -> None:
    name = factory if ":" in factory else f"tests.pipeline.label.wrong_teachers:{factory}"
    settings = TeacherSettings(Path("none"), Path("none"), name, TOY_SCENE, kinds=("human",))
    with pytest.raises(TeacherError, match=f"teacher {name}: .*{message}") as caught:
        load_teachers(settings, torch.device("cpu"), "float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("floats", "no attribute 'predict_scenes'"),
        ("three_scenes", r"indices_BK must be int64 \[2, 5\], found int64 \[2, 3\]"),
        ("far_scenes", r"indices_BK must lie in 0\.\.364"),
        ("rising_scenes", r"probs_BK must lie in 0\.\.1, best first"),
    ],
)
def test_a_scene_teacher_that_does_not_fit_is_one_line(factory: str, message: str) -> None:
    name = f"tests.pipeline.label.wrong_teachers:{factory}"
    settings = TeacherSettings(Path("none"), Path("none"), TOY_HUMAN, name, kinds=("scene",))
    with pytest.raises(TeacherError, match=f"teacher {name}: .*{message}"):
        load_teachers(settings, torch.device("cpu"), "float32")


@pytest.mark.parametrize("body", ["def load(:", "nothing", "1 / 0", "class Odd(Exception): pass\nraise Odd('x')"])
def test_a_module_that_cannot_be_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    module = f"broken_{hash(body) % 10**8}"
    (tmp_path / f"{module}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    settings = TeacherSettings(Path("none"), Path("none"), f"{module}:load", TOY_SCENE, kinds=("human",))
    with pytest.raises(TeacherError, match=f"teacher {module}:load: its module fails when imported") as caught:
        load_teachers(settings, torch.device("cpu"), "float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "found", "mask_median"),
    [
        ("sideways", "bool [8, 340, 256]", 1),
        ("bytes", "uint8 [8, 256, 340]", 5),
        ("too many", "bool [16, 256, 340]", 1),
    ],
)
def test_masks_of_another_form_for_some_frames_quarantine_their_video_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, form: str, found: str, mask_median: int
) -> None:
    bench.whiten("good2")
    monkeypatch.setenv(HARM_VARIABLE, form)
    records = [record for record in bench.records if record.video_id in ("good1", "good2", "good3")]
    job = LabelJob("mix", records, bench.shards_dir, videos_per_shard=3)
    teachers = dataclasses.replace(bench.teachers, mask_median=mask_median)
    with LocalPool(teachers, LabelSettings(batch_size=8), bench.shards_dir) as pool:
        status = run_label_job(job, pool, lambda _: None).status
    assert status.ok == 2 and status.reasons == {"teacher_failed": 1}
    with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
        (failed,) = csv.DictReader(stream)
    assert failed["video_id"] == "good2"
    assert f"predict_masks must be bool [8, 256, 340], found {found}" in failed["message"]


def test_a_wrong_teacher_ends_the_run_before_any_video_and_any_plan(bench: Bench) -> None:
    name = "tests.pipeline.label.wrong_teachers:small"
    result = run(bench, "label", "--workers", "0", "--human-teacher", name, "--scene-teacher", TOY_SCENE)
    assert isinstance(result.exception, TeacherError)
    assert not (bench.shards_dir / "plan.json").exists()
