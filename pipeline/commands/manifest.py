"""``kinet-pipeline manifest``: list the videos of a data set, and check them."""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.options import debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from manifests.check import ProbedVideo
    from manifests.draft import ManifestDraft
    from manifests.synthetic import SyntheticSpec
    from pipeline.video_disk import Witnesses

PROBE_STALL_SEC = 300.0
PROBE_TIMEOUT_SEC = 6 * 3600.0
LINE_EVERY_SEC = 10.0


@click.group()
def manifest() -> None:
    """List the videos of a data set and check them."""


@manifest.command()
@click.argument("dataset")
@click.option("--videos", "videos_dir", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the videos.")
@click.option(
    "--annotations",
    "annotation_paths",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Official CSV or list, or the folder of them; may be given again.  [default: looked for beside the videos]",
)
@click.option("--one-class", metavar="NAME", callback=require_name, help="folder: all videos are of this class.")
@click.option("--name", metavar="NAME", callback=require_name, help="Name of the manifest.  [default: DATASET]")
@click.option("--classes", metavar="A,B,...", help="Keep these classes only; labels become 0..k-1.")
@click.option("--limit-per-class", metavar="N", type=click.IntRange(1), help="Keep N videos of each class and split.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="synthetic: seed of the drawing.")
@click.option("--videos-per-class", type=click.IntRange(1), default=8, show_default=True, help="synthetic: in train.")
@click.option(
    "--test-videos-per-class", type=click.IntRange(0), default=4, show_default=True, help="synthetic: in test."
)
@json_option
@workspace_option
@debug_option
def build(
    dataset: str,
    videos_dir: Path | None,
    annotation_paths: tuple[Path, ...],
    one_class: str | None,
    name: str | None,
    classes: str | None,
    limit_per_class: int | None,
    seed: int,
    videos_per_class: int,
    test_videos_per_class: int,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Write the manifest of DATASET: kinetics400, ucf101, hmdb51, jhmdb, folder or synthetic.

    Says how many videos are missing and why; they are listed in <workspace>/manifests/NAME.missing.csv.
    """
    from manifests.build import draft_manifest, select
    from manifests.catalogue import require_video_dataset

    if one_class is not None and (dataset != "folder" or annotation_paths):
        raise click.UsageError("--one-class goes with manifest build folder, without --annotations")
    if require_video_dataset(dataset) == "synthetic":
        from manifests.synthetic import SyntheticSpec

        spec = SyntheticSpec(seed=seed, videos_per_class=videos_per_class, test_videos_per_class=test_videos_per_class)
        draft = _write_synthetic(videos_dir or workspace.videos_dir(dataset), spec)
    elif videos_dir is None:
        raise click.UsageError(f"manifest build {dataset} needs --videos DIR")
    else:
        draft = draft_manifest(dataset, videos_dir, annotation_paths, one_class)
    chosen = [part.strip() for part in classes.split(",") if part.strip()] if classes else None
    result = _save(select(draft, classes=chosen, per_class=limit_per_class), workspace, name or dataset)
    click.echo(json.dumps(result) if as_json else _describe_build(result))


@manifest.command()
@click.argument("dataset", callback=require_name)
@click.option("--workers", metavar="N", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option(
    "--resume",
    is_flag=True,
    help="Leave out the videos that an earlier check found sound, or got to before it was killed.",
)
@json_option
@workspace_option
@debug_option
def check(dataset: str, workers: int | None, resume: bool, as_json: bool, workspace: Workspace) -> None:
    """Decode every video of DATASET once; record frames, frame rate and size in its manifest.

    Faulty videos are listed in <workspace>/manifests/DATASET.faults.csv. What was found stays when the check is
    interrupted or killed: --resume goes on from there.
    """
    from manifests.survey import survey
    from pipeline.datasets import load_dataset
    from pipeline.errors import WorkspaceError
    from pipeline.label.sight import require_videos
    from pipeline.processors import count_processors
    from pipeline.signals import interruptible
    from pipeline.store import is_local

    records, manifest_path = load_dataset(workspace, dataset), workspace.manifest_path(dataset)
    if not is_local(manifest_path):
        raise WorkspaceError(
            f"{manifest_path}: a check works on a local disk; check it in a local workspace, then copy the manifest"
        )
    num_workers = workers or count_processors()
    witnesses = require_videos(dataset, records)
    with (
        interruptible(f"run kinet-pipeline manifest check {dataset} --resume to go on"),
        _progress("check", len(records)) as show_done,
    ):
        result = survey(
            manifest_path,
            records,
            functools.partial(_probe, witnesses=witnesses),
            num_workers=num_workers,
            stall_sec=PROBE_STALL_SEC,
            timeout_sec=PROBE_TIMEOUT_SEC,
            resume=resume,
            on_progress=show_done,
        )
    click.echo(json.dumps(result.as_json()) if as_json else result.as_text())


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how much is done, on stderr: a live bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=title, file=sys.stderr) as bar:
            yield lambda done: bar.update(done - bar.pos)
        return
    next_line_sec = time.monotonic() + LINE_EVERY_SEC

    def show_line(done: int) -> None:
        nonlocal next_line_sec
        if time.monotonic() >= next_line_sec:
            next_line_sec = time.monotonic() + LINE_EVERY_SEC
            click.echo(f"{title}: {done} of {total}", err=True)

    yield show_line


def _probe(path: Path, beat: Callable[[bool], None], *, witnesses: "Witnesses") -> "ProbedVideo":
    """Probe one video in a worker process; its own fault becomes its typed reason, its disk's is raised."""
    from manifests.check import ProbedVideo
    from pipeline.errors import VideoError
    from pipeline.video.probe import probe_video

    try:
        probe = probe_video(path, on_progress=beat)
    except VideoError as error:
        witnesses.require_sight(path)
        return ProbedVideo(reason=error.reason.value, message=error.message)
    return ProbedVideo(
        num_frames=probe.num_frames,
        fps=probe.fps,
        height=probe.height,
        width=probe.width,
        reason=probe.reason.value if probe.reason else None,
        message=probe.message or "",
    )


def _write_synthetic(videos_dir: Path, spec: "SyntheticSpec") -> "ManifestDraft":
    """Draw the synthetic videos that are not there yet, with a progress bar on stderr."""
    from manifests.synthetic import plan_clips, write_synthetic
    from pipeline.signals import interruptible

    with (
        interruptible("run the same command again to go on"),
        _progress("synthetic videos", len(plan_clips(spec))) as show_done,
    ):
        return write_synthetic(videos_dir, spec, on_progress=lambda done, _: show_done(done))


def _save(draft: "ManifestDraft", workspace: Workspace, name: str) -> dict[str, Any]:
    """Write the manifest and the list of missing videos; no usable video is an error, and no manifest is written."""
    from manifests import write_manifest
    from manifests.draft import write_missing
    from pipeline.errors import ManifestError
    from pipeline.local_copies import local_edit

    manifest_path = workspace.manifest_path(name)
    missing_path = manifest_path.with_name(f"{name}.missing.csv")
    with local_edit(manifest_path.parent, [missing_path.name]) as folder:
        if draft.missing:
            write_missing(folder / missing_path.name, draft.missing)
        else:
            (folder / missing_path.name).unlink(missing_ok=True)
    if not draft.records:
        reasons = ", ".join(f"{number} {reason}" for reason, number in draft.count_missing().items())
        expected = f", e.g. {draft.missing[0].expected_path}" if draft.missing else ""
        raise ManifestError(
            f"data set {name}: no usable video ({reasons or 'none listed'}{expected}); check --videos and --annotations"
        )
    with local_edit(manifest_path.parent, [manifest_path.name]) as folder:
        write_manifest(folder / manifest_path.name, draft.records)
    return {
        "dataset": name,
        "videos": len(draft.records),
        "classes": len({record.label for record in draft.records}),
        "splits": draft.count_splits(),
        "missing": len(draft.missing),
        "reasons": draft.count_missing(),
        "manifest": str(manifest_path),
        "missing_list": str(missing_path) if draft.missing else None,
    }


def _describe_build(result: dict[str, Any]) -> str:
    splits = ", ".join(f"{number} {split}" for split, number in result["splits"].items())
    lines = [
        f"{result['dataset']}: {result['videos']} videos ({splits}), {result['classes']} classes; {result['manifest']}"
    ]
    if result["missing"]:
        share = 100 * result["missing"] / (result["missing"] + result["videos"])
        reasons = ", ".join(f"{number} {reason}" for reason, number in result["reasons"].items())
        lines.append(f"{result['missing']} not usable ({share:.1f} %): {reasons}; listed in {result['missing_list']}")
    return "\n".join(lines)
