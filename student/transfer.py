"""Start a student from what was learned before: ImageNet's weights, or another run (transfer)."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.errors import CheckpointError
from pipeline.files import write_atomically
from pipeline.training.checkpoint import load_checkpoint
from pipeline.workspace import Workspace
from student.branches import BlockChain
from student.build import Student
from student.initialisation import load_imagenet_weights
from student.recipes import RunConfig, read_run_config
from student.runs import CLASSIFIER_PREFIX, CONFIG_FILE, last_checkpoint, read_class_names
from student.train import CHECKPOINT_DIR

logger = logging.getLogger(__name__)

START_FILE = "start.json"
_NUM_SHOWN = 3
_TEACHER_PREFIXES = {"human": "human.teacher.", "scene": "scene.teacher."}
"""Where the fixed teachers of `student.fixed.FixedBranchKINet` stand in its state_dict."""


@dataclass(frozen=True)
class StartReport:
    """Where each tensor of a student came from, by the student's own keys.

    Attributes:
        source: the file, or the run and its step.
        loaded: taken from it.
        new: left at their random start.
        unused: keys of the source that the student has no place for, or another classifier's.
    """

    source: str
    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def as_text(self) -> str:
        """Say it in a line."""
        return (
            f"start: {len(self.loaded)} tensors from {self.source}; new: {_shown(self.new)}; "
            f"left over: {_shown(self.unused)}"
        )


@dataclass(frozen=True)
class SourceRun:
    """A run to start from.

    Attributes:
        run_dir: its folder.
        checkpoint: one of its files; None for the last.
    """

    run_dir: Path
    checkpoint: Path | None = None


def find_source_run(init: Path) -> SourceRun | None:
    """Tell which run a path means: its folder, or a file of its checkpoints; None for any other path."""
    if (init / CONFIG_FILE).is_file():
        return SourceRun(init)
    run_dir = init.parent.parent
    if init.is_file() and init.parent.name == CHECKPOINT_DIR and (run_dir / CONFIG_FILE).is_file():
        return SourceRun(run_dir, init)
    return None


def locate_init(workspace: Workspace, init: Path, begun_from: str = "") -> Path:
    """Return what `--init` means: the path, or where there is none a run of the workspace (`runs/NAME` or `NAME`).

    `begun_from` is what it meant when the run to go on with was begun: that run's source may be gone.
    """
    if not init.exists() and init.parent in (Path(), Path("runs")):
        run_dir = workspace.run_dir("any").with_name(init.name)
        if (run_dir / CONFIG_FILE).is_file() or str(run_dir.absolute()) == begun_from:
            return run_dir.absolute()
    return init.absolute()


def load_initial_weights(model: Student, config: RunConfig, class_names: Sequence[str]) -> StartReport | None:
    """Give a student the weights that its run starts from; without `init` it keeps its random ones.

    Returns:
        What came from where; None without `init`.

    Raises:
        CheckpointError: the weights are missing or do not fit.
    """
    if not config.init:
        return None
    init_path = Path(config.init)
    source = find_source_run(init_path)
    if source is not None:
        return load_run_weights(model, config, class_names, source)
    if init_path.is_dir():
        raise CheckpointError(f"--init {init_path}: a folder, but no run's (it has no {CONFIG_FILE})")
    return _load_imagenet(model, init_path)


def load_run_weights(model: Student, config: RunConfig, class_names: Sequence[str], source: SourceRun) -> StartReport:
    """Load all that another run learned; the action classifier starts anew unless its classes are the same.

    Args:
        model: with its random start; changed in place.
        config, class_names: of the run that starts.
        source: the other run.

    Raises:
        CheckpointError: no checkpoint, or one of another student; the message names the values that differ.
    """
    run_dir = source.run_dir
    described = read_run_config(run_dir / CONFIG_FILE)
    _check_student(run_dir, described, config)
    state = last_checkpoint(run_dir) if source.checkpoint is None else load_checkpoint(source.checkpoint)
    weights: Mapping[str, Tensor] = state["model"]
    own = model.state_dict()
    same_classes = read_class_names(run_dir) == list(class_names)
    new = () if same_classes else tuple(key for key in own if key.startswith(CLASSIFIER_PREFIX))
    unused = () if same_classes else tuple(key for key in weights if key.startswith(CLASSIFIER_PREFIX))
    loaded = tuple(key for key in own if key not in new)
    _check_tensors(run_dir, described, config, {key: own[key] for key in loaded}, weights, unused)
    _check_teachers(run_dir, described, own, weights)
    with torch.no_grad():
        for key in loaded:
            own[key].copy_(weights[key])
    return StartReport(f"run {run_dir.name} ({described.dataset}, step {state['step']})", loaded, new, unused)


def write_start(run_dir: Path, report: StartReport) -> None:
    """Leave the report in the run's folder."""
    write_atomically(run_dir / START_FILE, json.dumps(asdict(report), indent=1) + "\n")


def _load_imagenet(model: Student, path: Path) -> StartReport:
    taken = load_imagenet_weights(model, path)
    chains = [module for module in model.modules() if isinstance(module, BlockChain)]
    filled = {tensor.data_ptr() for chain in chains for key, tensor in chain.source_tensors() if key in set(taken.used)}
    own = model.state_dict()
    loaded = tuple(key for key, tensor in own.items() if tensor.data_ptr() in filled)
    new = tuple(key for key, tensor in own.items() if tensor.data_ptr() not in filled)
    return StartReport(path.name, loaded, new, taken.unexpected)


def _check_student(run_dir: Path, source: RunConfig, target: RunConfig) -> None:
    """Raise CheckpointError where the two runs' networks are not of one kind."""
    kinds = ("model", "backbone", "modality")
    names = [name for name in kinds if getattr(source.recipe, name) != getattr(target.recipe, name)]
    if names:
        there = ", ".join(f"{name} {getattr(source.recipe, name)}" for name in names)
        here = ", ".join(f"{name} {getattr(target.recipe, name)}" for name in names)
        way_out = " ".join(f"--{name} {getattr(source.recipe, name)}" for name in names)
        raise CheckpointError(
            f"--init {run_dir}: a student of {there}, and this run is to be {here}; give {way_out}, or another --init"
        )


def _check_tensors(
    run_dir: Path,
    source: RunConfig,
    target: RunConfig,
    wanted: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    unused: tuple[str, ...],
) -> None:
    """Raise CheckpointError where a tensor is missing, left over or of another shape; warn where readings differ."""
    lacking = [key for key in wanted if key not in weights]
    foreign = [key for key in weights if key not in wanted and key not in unused]
    misshapen = [key for key in wanted if key in weights and weights[key].shape != wanted[key].shape]
    readings = _differing_readings(source, target)
    if lacking or foreign or misshapen:
        because = f"its readings differ: {'; '.join(readings)}" if readings else "it is of another version or damaged"
        raise CheckpointError(
            f"--init {run_dir}: its weights do not fit this student: missing {_shown(lacking)}, left over "
            f"{_shown(foreign)}, of another shape {_shown(misshapen)}; {because}"
        )
    if readings:
        logger.warning("--init %s: was trained with other readings: %s", run_dir, "; ".join(readings))


def _differing_readings(source: RunConfig, target: RunConfig) -> list[str]:
    if target.recipe.model == "tsn":
        return []
    there, here = asdict(source.recipe.kinet), asdict(target.recipe.kinet)
    return [f"kinet.{name}={there[name]} there, {value} here" for name, value in here.items() if there[name] != value]


def _check_teachers(run_dir: Path, source: RunConfig, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError where a student with fixed teachers learned from others than those it has now."""
    for kind, prefix in _TEACHER_PREFIXES.items():
        if any(key.startswith(prefix) and not torch.equal(tensor, weights[key]) for key, tensor in own.items()):
            trained_with = getattr(source.recipe, f"{kind}_teacher")
            raise CheckpointError(
                f"--init {run_dir}: its {kind} teacher is not the one given here; give the one that it was trained "
                f"with (--set {kind}_teacher={trained_with})"
            )


def _shown(keys: Sequence[str]) -> str:
    if not keys:
        return "none"
    return f"{len(keys)} ({', '.join(keys[:_NUM_SHOWN])}{', ...' if len(keys) > _NUM_SHOWN else ''})"
