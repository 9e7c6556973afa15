"""Write a run's student for other programs: the inference form, proved to give the full student's logits.

Formats: safetensors (named weights), ONNX and TorchScript (whole programs, from uint8 pixels to logits). A JSON file
beside each says what it is.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import safetensors.torch
import torch
from torch import Tensor

from pipeline.errors import KinetError
from pipeline.files import disk_fault, sha256_of_file, write_atomically, writing
from pipeline.training.weights import read_state_dict
from pipeline.video import FRAME_HEIGHT, FRAME_RESIZE, FRAME_WIDTH
from pipeline.workspace import Workspace
from student.build import Student
from student.deployment import DeployedStudent, draw_test_clips
from student.modality import NUM_CHANNELS, NUM_PAIRS
from student.normalisation import normalise
from student.options import check_choice
from student.parameters import count_parameters
from student.recipes import RunConfig, TrainConfig, read_run_config
from student.runs import CONFIG_FILE, Which, build_run_student, existing_run, load_student, read_class_names
from student.transforms import evaluation_boxes, scaled_size

Format = Literal["safetensors", "onnx", "torchscript"]
SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}

MAX_LOGIT_DIFFERENCE = 1e-4
_NUM_TEST_CLIPS = 3
_IMAGES = {
    "rgb": "RGB frames",
    "flow": f"x and y in turn of the flows from a frame and the {NUM_PAIRS - 1} after it, as kinet-pipeline "
    "extract-flow stores them (128 is rest)",
}
_ONNX_OPSET = 18


class ExportError(KinetError):
    """The exported student cannot be made, or does not give the full student's logits."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes:
        path, card: the exported file and the JSON file beside it.
        format: of the file.
        parameters, full_parameters: of the exported student and of the one that was trained.
        max_logit_difference: between the file, read back, and the full student, over a few clips.
    """

    path: str
    card: str
    format: str
    parameters: int
    full_parameters: int
    max_logit_difference: float


def export_run(
    workspace: Workspace, run: str, file_format: str, *, output_dir: Path | None = None, which: Which = "last"
) -> ExportReport:
    """Write a run's student in one format, read it back, and compare.

    Args:
        workspace, run: whose student.
        file_format: "safetensors", "onnx" or "torchscript".
        output_dir: where to; None takes `export` in the run's folder.
        which: the last checkpoint, or the best in validation.

    Raises:
        ValueError: another format.
        ExportError: the logits differ by more than 1e-4 (nothing is written then), or ONNX is not installed.
        KinetError: the run, its checkpoint or the disk are at fault.
    """
    check_choice("format", file_format, get_args(Format))
    run_dir = existing_run(workspace, run)
    config = read_run_config(run_dir / CONFIG_FILE)
    student, step = load_student(run_dir, config, which)
    student.eval()
    recipe = config.recipe
    num_channels = NUM_CHANNELS[recipe.modality]
    clips = draw_test_clips(_NUM_TEST_CLIPS, recipe.num_segments, recipe.input_size, seed=0, num_channels=num_channels)
    with torch.inference_mode():
        expected = student(normalise(clips, student.normalisation)).action_logits
    deployed = DeployedStudent(student, num_segments=recipe.num_segments).eval()
    folder = output_dir or run_dir / "export"
    path = folder / f"{run}{'-best' if which == 'best' else ''}{SUFFIXES[file_format]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_fault(folder, error) from error
    with writing(path) as part_path:
        # Formats are told by their suffix when they are read back.
        made_path = part_path.with_name(f"{part_path.name}{path.suffix}")
        try:
            found = _WRITERS[file_format](deployed, clips, made_path, config)
            difference = float((found - expected).abs().max())
            if not difference <= MAX_LOGIT_DIFFERENCE:
                raise ExportError(
                    f"{path}: its logits differ by {difference:.2e} from the full student's, {MAX_LOGIT_DIFFERENCE:g} "
                    "is allowed; nothing was written. Try another --format"
                )
            made_path.replace(part_path)
        finally:
            made_path.unlink(missing_ok=True)
    report = ExportReport(
        path=str(path),
        card=str(path.with_suffix(f"{path.suffix}.json")),
        format=file_format,
        parameters=count_parameters(deployed),
        full_parameters=count_parameters(student),
        max_logit_difference=difference,
    )
    write_atomically(Path(report.card), json.dumps(_describe(report, config, student, step, run_dir), indent=2) + "\n")
    return report


def _write_safetensors(deployed: DeployedStudent, clips: Tensor, path: Path, config: RunConfig) -> Tensor:
    """Write the weights; read them into another student's inference form and score with it."""
    weights = {name: tensor.contiguous() for name, tensor in deployed.student.state_dict().items()}
    safetensors.torch.save_file(weights, path)
    other = DeployedStudent(build_run_student(config), num_segments=deployed.num_segments).eval()
    other.student.load_state_dict(read_state_dict(path))
    with torch.inference_mode():
        return other(clips)


def _write_torchscript(deployed: DeployedStudent, clips: Tensor, path: Path, config: RunConfig) -> Tensor:
    with warnings.catch_warnings(), torch.no_grad():
        # The checks of shapes are fixed when traced, as they should be; torch would rather have torch.export used.
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(deployed, clips[:1]), path)
        return torch.jit.load(path)(clips)


def _write_onnx(deployed: DeployedStudent, clips: Tensor, path: Path, config: RunConfig) -> Tensor:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch.onnx needs it and says so less clearly
    except ImportError as error:
        raise ExportError(f"--format onnx needs {error.name}; pip install 'kinet-pipeline[export]'") from error
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # its own deprecations
        torch.onnx.export(
            deployed,
            (clips[:2],),
            path,
            dynamo=True,
            input_names=["frames"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("clips", min=1)},),
            opset_version=_ONNX_OPSET,
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"frames": clips.numpy()})[0])


_WRITERS: dict[str, Callable[[DeployedStudent, Tensor, Path, RunConfig], Tensor]] = {
    "safetensors": _write_safetensors,
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}


def _describe(report: ExportReport, config: RunConfig, student: Student, step: int, run_dir: Path) -> dict[str, object]:
    """Say all that another program needs to know of the file."""
    recipe = config.recipe
    return {
        "format": report.format,
        "sha256": sha256_of_file(Path(report.path)),
        "input": f"{_IMAGES[recipe.modality]}, uint8 [clips, {recipe.num_segments}, {NUM_CHANNELS[recipe.modality]}, "
        f"{recipe.input_size}, {recipe.input_size}]",
        "output": f"logits, float32 [clips, {config.num_classes}], before the softmax",
        "preprocessing": _describe_preprocessing(recipe),
        "normalisation": {**asdict(student.normalisation), "inside": report.format != "safetensors"},
        "classes": read_class_names(run_dir),
        "run": run_dir.name,
        "step": step,
        "model": recipe.model,
        "modality": recipe.modality,
        "backbone": recipe.backbone,
        "num_segments": recipe.num_segments,
        "input_size": recipe.input_size,
        "readings": asdict(recipe.kinet),
        "parameters": report.parameters,
        "max_logit_difference": report.max_logit_difference,
    }


def _describe_preprocessing(recipe: TrainConfig) -> dict[str, object]:
    """Say how a video becomes a clip of the input, as `evaluate --crops 1` with `num_segments` frames makes it."""
    height, width = scaled_size(FRAME_HEIGHT, FRAME_WIDTH, recipe.input_size)
    (crop,) = evaluation_boxes(height, width, recipe.input_size, 1)
    return {
        "frames": f"of N frames of a full decode those of index floor((2 k + 1) N / {2 * recipe.num_segments}), "
        f"k = 0 to {recipe.num_segments - 1}",
        "frame_size": [FRAME_HEIGHT, FRAME_WIDTH],
        "frame_resize": f"{FRAME_RESIZE}, whatever the video's shape, to uint8; then rgb24",
        "resize_pixel_format": "yuv420p for pictures coded in YUV, rgb24 for others",
        "scaled_size": [height, width],
        "scale": "bilinear, antialiased, to uint8",
        "crop": {"top": crop.top, "left": crop.left, "size": recipe.input_size},
        "sizes": "height first, in pixels",
    }
