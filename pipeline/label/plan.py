"""Which video goes into which shard, fixed at the first start, and the fingerprint of what decides the labels."""

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from manifests import VideoRecord
from pipeline.errors import PlanError
from pipeline.shards.schema import SCHEMA_VERSION, shard_name
from pipeline.store import make_dir, read_files, write_atomically

PLAN_NAME = "plan.json"
_FLOW = "flow"


@dataclass(frozen=True)
class PlannedShard:
    """One unit of work: the videos of one file.

    Attributes:
        split: of all its videos.
        index, count: its place among the split's shards, from 0.
        records: its videos, in manifest order.
    """

    split: str
    index: int
    count: int
    records: tuple[VideoRecord, ...]

    @functools.cached_property
    def name(self) -> str:
        """File name without suffix."""
        return shard_name(self.split, self.index, self.count)

    @property
    def num_videos(self) -> int:
        """Videos in it."""
        return len(self.records)


@dataclass(frozen=True)
class Plan:
    """All work on a data set.

    Attributes:
        dataset: its name.
        videos_per_shard: in each shard but a split's last one; None where their sizes go by the work in them.
        ingredients: what decides the labels' values, by name; their hash is the fingerprint.
        shards: every shard of every split.
        teacher_files: `digest_teacher_files` of the teachers it was made with; None where that is not known.
        manifest_file: hex SHA-256 of the manifest's file, in which these shards' videos stand; None likewise.
        batch_size: of the teachers at the first start; None of flow, and where it is not known.
    """

    dataset: str
    videos_per_shard: int | None
    ingredients: dict[str, str]
    shards: tuple[PlannedShard, ...]
    teacher_files: str | None = None
    manifest_file: str | None = None
    batch_size: int | None = None

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the ingredients."""
        return fingerprint_of(self.ingredients)

    @property
    def is_flow(self) -> bool:
        """Whether it is optical flow that is made, and no labels."""
        return _FLOW in self.ingredients

    @property
    def num_videos(self) -> int:
        """Videos in all shards."""
        return sum(shard.num_videos for shard in self.shards)

    def of_split(self, split: str | None) -> tuple[PlannedShard, ...]:
        """Return the shards of one split, or all; raise PlanError naming the splits there are."""
        if split is None:
            return self.shards
        chosen = tuple(shard for shard in self.shards if shard.split == split)
        if not chosen:
            known = ", ".join(sorted({shard.split for shard in self.shards}))
            raise PlanError(f"data set {self.dataset} has no split {split!r}; it has {known}")
        return chosen


def fingerprint_of(ingredients: Mapping[str, str]) -> str:
    """Return the hex SHA-256 of a plan's ingredients."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def even_sizes(records: Sequence[VideoRecord], videos_per_shard: int) -> dict[str, list[int]]:
    """Cut each split into shards of so many videos, the last one smaller."""
    if videos_per_shard < 1:
        raise ValueError(f"videos_per_shard is {videos_per_shard}; give 1 or more")
    left: dict[str, int] = {}
    for record in records:
        left[record.split] = left.get(record.split, 0) + 1
    return {
        split: [min(videos_per_shard, count - start) for start in range(0, count, videos_per_shard)]
        for split, count in left.items()
    }


def partition(records: Sequence[VideoRecord], sizes: Mapping[str, Sequence[int]]) -> tuple[PlannedShard, ...]:
    """Cut each split, in manifest order, into shards of so many videos.

    Raises:
        ValueError: the sizes are not those of these videos.
    """
    by_split: dict[str, list[VideoRecord]] = {}
    for record in records:
        by_split.setdefault(record.split, []).append(record)
    found, wanted = ({name: len(rows) for name, rows in by_split.items()}, {name: sum(sizes[name]) for name in sizes})
    if found != wanted or min(min(of_split) for of_split in sizes.values()) < 1:
        raise ValueError(f"sizes for {wanted} videos of each split, there are {found}")
    shards = []
    for split, members in by_split.items():
        ends = list(accumulate(sizes[split]))
        for index, (start, end) in enumerate(pairwise([0, *ends])):
            shards.append(PlannedShard(split, index, len(ends), tuple(members[start:end])))
    return tuple(shards)


def manifest_digest(records: Sequence[VideoRecord]) -> str:
    """Hash what a manifest says of the videos: id, split, label, and path below the videos' common folder.

    Moving the whole folder, or probing the videos, changes nothing; another file, order, split or label does.
    """
    paths = [str(record.path) for record in records]
    common = _common_folder(paths) if records else ""
    # None of the four can hold a NUL, so that no two manifests give the same text.
    rows = (
        f"{record.video_id}\0{record.split}\0{record.label}\0{path[len(common) :]}\0"
        for record, path in zip(records, paths, strict=True)
    )
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _split_of(shard: PlannedShard) -> str:
    return shard.split


def common_folder(records: Sequence[VideoRecord]) -> str:
    """Return the innermost folder that holds every video; there must be one."""
    return _common_folder(str(record.path) for record in records)


def _common_folder(paths: Iterable[str]) -> str:
    # Cut as text: there may be 260,000 of them, in few folders.
    return os.path.commonpath({path[: path.rfind("/") + 1] for path in paths})


def write_plan(shards_dir: Path, plan: Plan) -> None:
    """Fix the plan on disk. The manifest stays the list of videos; its digest is among the ingredients."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "dataset": plan.dataset,
        "fingerprint": plan.fingerprint,
        "ingredients": plan.ingredients,
        # A program that knows no sizes of single shards takes no null, so it cannot cut such a plan otherwise.
        "videos_per_shard": plan.videos_per_shard,
        "videos": plan.num_videos,
        "shards": {shard.split: shard.count for shard in plan.shards},
        "shard_videos": {
            split: [shard.num_videos for shard in shards] for split, shards in groupby(plan.shards, _split_of)
        },
        "teacher_files": plan.teacher_files,
        "manifest_file": plan.manifest_file,
        "batch_size": plan.batch_size,
    }
    make_dir(shards_dir)
    write_atomically(shards_dir / PLAN_NAME, json.dumps(content, indent=1) + "\n")


def read_plan(shards_dir: Path, dataset: str, records: Sequence[VideoRecord]) -> Plan | None:
    """Read the plan that was fixed, over the manifest as it is now; None before the first start.

    Raises:
        PlanError: the plan cannot be read, or the manifest changed since.
    """
    file = read_plan_file(shards_dir)
    if file is None:
        return None
    if file.ingredients.get("manifest") != manifest_digest(records):
        work = "extract-flow" if _FLOW in file.ingredients else "labelling"
        raise PlanError(
            f"the manifest of {dataset} changed since {work} began ({file.num_videos} videos then, "
            f"{len(records)} now; or other paths, splits or labels); restore the manifest that the shards in "
            f"{shards_dir} belong to, or start in another workspace"
        )
    try:
        # The plan of an older program has shards of one size.
        sizes = file.shard_videos or even_sizes(records, file.videos_per_shard or 0)
        shards = partition(records, sizes)
    except ValueError as error:
        raise _no_plan(shards_dir, error) from error
    return Plan(
        dataset,
        file.videos_per_shard,
        file.ingredients,
        shards,
        file.teacher_files,
        file.manifest_file,
        file.batch_size,
    )


class PlanFile(NamedTuple):
    """What stands in ``plan.json``; see `Plan`.

    Attributes:
        num_videos: of all shards.
        batch_size: None of flow, and in the plan of an older program.
        shard_videos: videos in each split's shards; None in the plan of an older program, whose shards are of one size.
    """

    videos_per_shard: int | None
    ingredients: dict[str, str]
    num_videos: int
    shard_videos: dict[str, list[int]] | None
    teacher_files: str | None
    manifest_file: str | None
    batch_size: int | None


def read_plan_file(shards_dir: Path) -> PlanFile | None:
    """Read what stands in ``plan.json`` alone; None before the first start. Raises PlanError where it is none."""
    path = shards_dir / PLAN_NAME
    try:
        content = json.loads(next(read_files([path])))
        shard_videos, videos_per_shard = content.get("shard_videos"), content["videos_per_shard"]
        if shard_videos is None or videos_per_shard is not None:
            videos_per_shard = int(videos_per_shard)
        if shard_videos is not None:
            shard_videos = {str(split): list(map(int, sizes)) for split, sizes in shard_videos.items()}
        found = PlanFile(
            videos_per_shard,
            {str(name): str(value) for name, value in content["ingredients"].items()},
            int(content["videos"]),
            shard_videos,
            content.get("teacher_files"),
            content.get("manifest_file"),
            None if content.get("batch_size") is None else int(content["batch_size"]),
        )
        schema_version = int(content["schema_version"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _no_plan(shards_dir, error) from error
    if schema_version != SCHEMA_VERSION:
        raise PlanError(
            f"{path}: written in schema {schema_version}, this version writes {SCHEMA_VERSION}; "
            "go on with the version that began, or start in another workspace"
        )
    return found


def _no_plan(shards_dir: Path, fault: Exception) -> PlanError:
    path = shards_dir / PLAN_NAME
    return PlanError(f"{path}: not a plan ({fault}); restore it, or move {shards_dir} away to start anew")


def check_ingredients(plan: Plan, ingredients: dict[str, str], shards_dir: Path) -> None:
    """Raise PlanError, naming what changed, unless labels made now would equal the labels made before."""
    changed = [
        f"{name}: {plan.ingredients.get(name, 'nothing')} then, {ingredients.get(name, 'nothing')} now"
        for name in sorted(plan.ingredients.keys() | ingredients.keys())
        if plan.ingredients.get(name) != ingredients.get(name)
    ]
    if changed and plan.is_flow:
        raise PlanError(
            f"the flow in {shards_dir} was begun otherwise ({'; '.join(changed)}); go on with the --method, --quality "
            "and software that it was begun with, or extract flow into another --workspace"
        )
    if changed:
        raise PlanError(
            f"the labels in {shards_dir} were begun with something else ({'; '.join(changed)}); "
            "go back to it, or label into another workspace"
        )
