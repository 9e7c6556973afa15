"""The processors counted are those that the process may use, not the machine's."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.processors import cgroup_quota, count_processors


def test_a_process_bound_to_one_processor_counts_one() -> None:
    one = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, [{one}]); "
        "from pipeline.processors import count_processors; print(count_processors())"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert 1 <= count_processors() <= len(os.sched_getaffinity(0))


def test_the_tightest_quota_on_the_way_up_bounds(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    inner = root / "slice" / "job"
    inner.mkdir(parents=True)
    own.write_text("1:cpu:/elsewhere\n0::/slice/job\n")
    assert cgroup_quota(root, own) is None
    (root / "cpu.max").write_text("800000 100000\n")
    (root / "slice" / "cpu.max").write_text("400000 100000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    assert cgroup_quota(root, own) == 4.0
    # Within a container its own group is mounted as the root.
    own.write_text("0::/\n")
    assert cgroup_quota(root, own) == 8.0


def test_threads_that_wait_sleep_soon_in_a_worker_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_text("0")
    program = (
        "import sys; from pathlib import Path; from pipeline.label.worker import ShardWorker; "
        "from pipeline.label.settings import LabelSettings, TeacherSettings; "
        "toy = 'tests.pipeline.label.toy_teachers:load_'; path = Path(sys.argv[1]); "
        "teachers = TeacherSettings(path, path, toy + 'human', toy + 'scene'); "
        "worker = ShardWorker(teachers, LabelSettings(), path.parent, 1); worker.describe(); worker.close()"
    )
    counts = []
    inherited = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    for chosen in ({}, {"OMP_WAIT_POLICY": "PASSIVE"}, {"GOMP_SPINCOUNT": "77"}):
        environment = {**inherited, **chosen, "OMP_DISPLAY_ENV": "VERBOSE"}
        done = subprocess.run(
            [sys.executable, "-c", program, str(weights)], check=True, capture_output=True, text=True, env=environment
        )
        # OpenMP's own account of its settings, on stderr.
        counts += [line.split("'")[1] for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    assert counts == ["20000", "0", "77"]
