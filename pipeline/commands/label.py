"""``kinet-pipeline label``: stage one."""

import json

import click

from pipeline.options import dataset_option, debug_option, json_option, workspace_option
from pipeline.workspace import Workspace


@click.command()
@dataset_option
@click.option("--split", metavar="S", help="Label this split only.  [default: all]")
@click.option("--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]")
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Labelling workers; 0 labels in this process, without Ray.  [default: one a GPU, else one a node]",
)
@click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where there are GPUs]")
@click.option(
    "--videos-per-shard",
    type=click.IntRange(1),
    help="Fixed at the first start.  [default: 128, or fewer: about ten minutes of one worker's work]",
)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Frames a batch.")
@click.option("--decoders", type=click.IntRange(1), default=1, show_default=True, help="Decoding processes a worker.")
@click.option("--compression", type=click.Choice(["gzip", "zstd"]), default="gzip", show_default=True)
@click.option("--human-teacher", default="teachers.human:load", show_default=True, metavar="MODULE:FUNCTION")
@click.option("--scene-teacher", default="teachers.scene:load", show_default=True, metavar="MODULE:FUNCTION")
@json_option
@workspace_option
@debug_option
def label(
    dataset: str,
    split: str | None,
    address: str | None,
    workers: int | None,
    gpus_per_worker: float | None,
    videos_per_shard: int | None,
    precision: str,
    batch_size: int,
    decoders: int,
    compression: str,
    human_teacher: str,
    scene_teacher: str,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Run both teachers over every frame and write shards; run it again to go on after a kill."""
    from pipeline.datasets import load_dataset
    from pipeline.label.job import LabelJob, run_label_job
    from pipeline.label.pools import open_pool
    from pipeline.label.progress import show_progress
    from pipeline.label.settings import ClusterSettings, LabelSettings, TeacherSettings
    from pipeline.signals import interruptible

    job = LabelJob(dataset, load_dataset(workspace, dataset), workspace.shards_dir(dataset), split, videos_per_shard)
    teachers = TeacherSettings(
        workspace.teacher_path("human"), workspace.teacher_path("scene"), human_teacher, scene_teacher, precision
    )
    settings = LabelSettings(batch_size, decoders, compression=compression)  # type: ignore[arg-type]
    cluster = None if workers == 0 else ClusterSettings(address, workers, gpus_per_worker)
    way_out = "committed shards are kept; run the same command again to go on"
    with (
        open_pool(teachers, settings, job.shards_dir, cluster) as pool,
        interruptible(way_out),
        show_progress(dataset) as display,
    ):
        report = run_label_job(job, pool, display.update)
    if as_json:
        speed = {"seconds": round(report.seconds, 3), "frames_per_sec": round(report.frames_per_sec, 3)}
        click.echo(json.dumps({**report.status.as_json(), **speed}))
    else:
        click.echo(report.status.as_text())
        click.echo(
            f"this run    {report.frames:>9,} frames in {report.seconds:.0f} s ({report.frames_per_sec:.1f} a second)"
        )
        if report.status.quarantined:
            click.echo(f"without labels, and why: {job.shards_dir / 'quarantine.csv'}")
