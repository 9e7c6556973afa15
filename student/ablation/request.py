"""What is asked of a table, and which recipe each of its rows gets by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.workspace import Workspace
from student.ablation.tables import PAPER_BACKBONE, Row
from student.catalogue import BACKBONES
from student.options import check_choice
from student.planning import DEFAULT_RECIPE
from student.recipes import TrainConfig, apply_overrides, has_effect, read_recipe
from student.scoring import MAX_MISSING


@dataclass(frozen=True, kw_only=True)
class AblationRequest:
    """What a user asks of a table.

    Attributes:
        table: its number in the paper.
        dataset: its name in the workspace; None only where nothing is trained.
        backbone: see `table_rows`.
        recipe: name or file; None is the default one.
        overrides: `key=value` for every row; a row's own changes come after them.
        seeds, folds: each row is trained once for each pair.
        init: ImageNet weights by backbone; the key "" is for every backbone.
        segments, crops: of the evaluation.
        max_missing: share of the test videos that may have no score, see `EvaluateRequest`.
        name: of the folder in runs/, and the start of its runs' names; None makes one of table, data set and backbone.
        loader_workers, cache_mib: as of `TrainRequest`.

    Raises:
        ValueError: no seed, no fold, or one of them twice; `init` for a backbone that there is not, or twice for one.
    """

    table: int
    dataset: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] = (1,)
    init: tuple[tuple[str, Path], ...] = ()
    segments: int = 25
    crops: int = 10
    max_missing: float = MAX_MISSING
    name: str | None = None
    loader_workers: int = 0
    cache_mib: int = 0

    def __post_init__(self) -> None:
        for what, values in (("seeds", self.seeds), ("folds", self.folds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{what}: expected one or more, each once, found {', '.join(map(str, values)) or '-'}")
        if min(self.folds) < 1 or min(self.seeds) < 0:
            raise ValueError("folds: expected numbers from 1 on; seeds: from 0 on")
        named = [backbone for backbone, _ in self.init]
        for backbone in named:
            check_choice("--init", backbone or PAPER_BACKBONE, BACKBONES)
        if len(set(named)) < len(named):
            raise ValueError(
                f"--init: expected one file a backbone, found {', '.join(name or 'all' for name in named)}"
            )

    @property
    def dataset_name(self) -> str:
        """Return the data set's name; ValueError where there is none."""
        if self.dataset is None:
            raise ValueError("dataset: expected a data set's name; without one a table can only be counted")
        return self.dataset

    @property
    def run_prefix(self) -> str:
        """Return the start of the runs' names."""
        parts = ("ablate", str(self.table), self.dataset or "", self.backbone or "")
        return self.name or "-".join(part for part in parts if part)

    def init_of(self, row: Row) -> Path | None:
        """Return the file that a row's backbone starts from."""
        files = dict(self.init)
        return files.get(row.backbone, files.get(""))


def row_recipe(workspace: Workspace, request: AblationRequest, row: Row, seed: int = 0) -> TrainConfig:
    """Resolve a row's recipe: the recipe, the user's changes, the row's, the backbone's input size, the seed.

    Raises:
        RecipeError: no such recipe.
        ValueError: a change that is wrong.
    """
    recipe = read_recipe(request.recipe or DEFAULT_RECIPE)
    return apply_overrides(recipe, row_overrides(workspace, request, row, seed)).settle_input_size()


def row_overrides(workspace: Workspace, request: AblationRequest, row: Row, seed: int) -> tuple[str, ...]:
    """List all changes to the recipe that make a row's run; those that its model takes no notice of are left out."""
    wanted = [change for change in request.overrides if has_effect(_key_of(change), row.model)]
    changes = [*wanted, *row.overrides, f"seed={seed}"]
    if row.model == "kinet-fixed":
        changes += [
            f"{kind}_teacher={workspace.teacher_path(kind)}"
            for kind in ("human", "scene")
            if not _sets(request.overrides, f"{kind}_teacher")
        ]
    return tuple(changes)


def check_overrides(request: AblationRequest, rows: Sequence[Row]) -> None:
    """Raise ValueError where the user changes a value that a row is made of, or one that no row takes notice of."""
    for key in map(_key_of, request.overrides):
        if key == "seed":
            raise ValueError("--set seed: the table sets it; name the seeds by --seeds")
        if not any(has_effect(key, row.model) for row in rows):
            raise ValueError(f"--set {key}: no row of Table {request.table} takes notice of it; leave it out")
        for row in rows:
            if key in map(_key_of, row.overrides):
                way_out = "name it by --backbone" if key == "backbone" else "leave it out"
                raise ValueError(
                    f"--set {key}: row {row.key} ({row.setting}) of Table {request.table} sets it itself; {way_out}"
                )


def _sets(overrides: Sequence[str], key: str) -> bool:
    return key in map(_key_of, overrides)


def _key_of(override: str) -> str:
    return override.partition("=")[0].strip()
