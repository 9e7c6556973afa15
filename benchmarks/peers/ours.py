"""Label with this project: one worker on a local Ray, as `kinet-pipeline label` does."""

import contextlib
import time

from contest import read_task, report
from cpu_clock import CpuClock

from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.pools import open_pool
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import ClusterSettings, LabelSettings


def main() -> None:
    task = read_task()
    started: list[float] = []
    clock = CpuClock()

    def note_start(_: LabelProgress) -> None:
        if not started:
            started.append(time.monotonic())
            running.enter_context(clock)

    shards_dir = task.output_dir / "shards"
    job = LabelJob("bench", task.records, shards_dir, videos_per_shard=32)
    settings = LabelSettings(batch_size=task.batch_size)
    with open_pool(task.teachers, settings, shards_dir, ClusterSettings(num_workers=1)) as pool:
        with contextlib.ExitStack() as running:
            done = run_label_job(job, pool, note_start)
        seconds = time.monotonic() - started[0]
    report(done.frames, seconds, clock.seconds)


if __name__ == "__main__":
    main()
