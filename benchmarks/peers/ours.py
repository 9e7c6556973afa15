"""Label with this project: one worker on a local Ray, as `kinet-pipeline label` does."""

from contest import read_task, report
from whole_job import run_timed

from pipeline.label.job import LabelJob
from pipeline.label.pools import open_pool
from pipeline.label.settings import ClusterSettings, LabelSettings


def main() -> None:
    task = read_task()
    shards_dir = task.output_dir / "shards"
    settings = LabelSettings(batch_size=task.batch_size)
    with open_pool(task.teachers, settings, shards_dir, ClusterSettings(num_workers=1)) as pool:
        run = run_timed(LabelJob("bench", task.records, shards_dir), pool)
    report(run.frames, run.seconds, run.cpu_sec)


if __name__ == "__main__":
    main()
