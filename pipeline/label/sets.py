"""Sets of shards: both teachers' labels together, those of one alone, or optical flow, and which one is meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests import VideoRecord
from pipeline.errors import OptionError, WorkspaceError
from pipeline.label.plan import PLAN_NAME, Plan, read_plan
from pipeline.shards.schema import BOTH_TEACHERS, TeacherKind
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class LabelSet:
    """One set of labels of a data set, or its optical flow.

    Attributes:
        kinds: the teachers that made the labels; () where it is flow.
        shards_dir: its folder; each set has its own plan, receipts and quarantine list.
    """

    kinds: tuple[TeacherKind, ...]
    shards_dir: Path

    @property
    def is_begun(self) -> bool:
        """Whether labelling has begun."""
        return (self.shards_dir / PLAN_NAME).exists()

    @property
    def is_flow(self) -> bool:
        """Whether it is optical flow."""
        return not self.kinds

    @property
    def option(self) -> str:
        """The ``--teachers`` value that names it."""
        return ",".join(self.kinds)

    def options(self, dataset: str) -> str:
        """Return the options by which ``status``, ``verify`` and ``retry`` mean this set."""
        if self.is_flow:
            return f"--dataset {dataset} --flow"
        return f"--dataset {dataset}" + (f" --teachers {self.option}" if self.kinds != BOTH_TEACHERS else "")

    def making(self, dataset: str) -> str:
        """Return the command that makes this set, or goes on with it."""
        return f"extract-flow --dataset {dataset}" if self.is_flow else f"label {self.options(dataset)}"


def label_set(workspace: Workspace, dataset: str, kinds: tuple[TeacherKind, ...]) -> LabelSet:
    """Return the set of these teachers' labels, begun or not."""
    if len(kinds) == 1:
        return LabelSet(kinds, workspace.teacher_shards_dir(dataset, kinds[0]))
    return LabelSet(kinds, workspace.shards_dir(dataset))


def flow_set(workspace: Workspace, dataset: str) -> LabelSet:
    """Return the set of a data set's optical flow, begun or not."""
    return LabelSet((), workspace.flow_shards_dir(dataset))


def meant_set(workspace: Workspace, dataset: str, kinds: tuple[TeacherKind, ...] | None, flow: bool) -> LabelSet:
    """Return the set that a command means by ``--flow`` or ``--teachers``; see `existing_set`.

    Raises:
        OptionError: both are given.
    """
    if flow and kinds:
        raise OptionError("--flow and --teachers: a set holds flow or labels; give one of the two")
    return flow_set(workspace, dataset) if flow else existing_set(workspace, dataset, kinds)


def begun_sets(workspace: Workspace, dataset: str) -> list[LabelSet]:
    """List the sets that labelling has begun; the joint one first."""
    sets = [label_set(workspace, dataset, kinds) for kinds in (BOTH_TEACHERS, *((kind,) for kind in BOTH_TEACHERS))]
    return [labels for labels in sets if labels.is_begun]


def existing_set(workspace: Workspace, dataset: str, kinds: tuple[TeacherKind, ...] | None) -> LabelSet:
    """Return the set that a command means: the one named, else the joint one, else the only one there is.

    Raises:
        WorkspaceError: none is named, and each teacher has its own.
    """
    if kinds is not None:
        return label_set(workspace, dataset, kinds)
    begun = begun_sets(workspace, dataset)
    if not begun:
        return label_set(workspace, dataset, BOTH_TEACHERS)
    if len(begun) > 1 and begun[0].kinds != BOTH_TEACHERS:
        named = " or ".join(f"--teachers {labels.option}" for labels in begun)
        raise WorkspaceError(f"the teachers' labels of {dataset} lie in sets of their own; say {named}")
    return begun[0]


def set_to_label(workspace: Workspace, dataset: str, kinds: tuple[TeacherKind, ...] | None) -> LabelSet:
    """Return the set that `label` works on: the one named, else the joint one.

    Raises:
        WorkspaceError: a teacher asked for has labels in another set already; what is missing is named.
    """
    wanted = label_set(workspace, dataset, kinds or BOTH_TEACHERS)
    others = [labels for labels in begun_sets(workspace, dataset) if labels.kinds != wanted.kinds]
    clash = [labels for labels in others if set(labels.kinds) & set(wanted.kinds)]
    if wanted.is_begun or not clash:
        return wanted
    named = " and ".join(str(labels.shards_dir) for labels in clash)
    covered = {kind for labels in others for kind in labels.kinds}
    if clash[0].kinds != BOTH_TEACHERS and covered.issuperset(BOTH_TEACHERS):
        raise WorkspaceError(
            f"both teachers' labels of {dataset} were begun in sets of their own, {named}; kinet-pipeline label "
            f"--dataset {dataset} with --teachers human or --teachers scene goes on with one, where it is not complete "
            "(status says so), or label into another workspace"
        )
    missing = ",".join(kind for kind in BOTH_TEACHERS if kind not in covered) or clash[0].option
    raise WorkspaceError(
        f"{dataset} has labels of the {' and the '.join(clash[0].kinds)} teacher in {named}; run kinet-pipeline "
        f"label --dataset {dataset} --teachers {missing}, or label into another workspace"
    )


def rival_dirs(workspace: Workspace, dataset: str, kinds: tuple[TeacherKind, ...]) -> tuple[Path, ...]:
    """Return the folders of the other sets that would hold labels of one of these teachers, begun or not."""
    sets = [label_set(workspace, dataset, other) for other in (BOTH_TEACHERS, *((kind,) for kind in BOTH_TEACHERS))]
    return tuple(labels.shards_dir for labels in sets if labels.kinds != kinds and set(labels.kinds) & set(kinds))


def require_plan(labels: LabelSet, dataset: str, records: Sequence[VideoRecord]) -> Plan:
    """Read the plan; raise WorkspaceError where labelling has not begun, PlanError where the manifest changed since."""
    plan = read_plan(labels.shards_dir, dataset, records)
    if plan is None:
        found = f"{dataset} has no optical flow" if labels.is_flow else f"labelling of {dataset} has not begun"
        raise WorkspaceError(f"{found}; run kinet-pipeline {labels.making(dataset)}")
    return plan
