"""A new run's folder: teachers and students write the same names into theirs, so that none may hold two runs."""

from pathlib import Path

from pipeline.errors import WorkspaceError
from pipeline.files import disk_fault

STUDENT_CONFIG = "config.toml"
TEACHER_CONFIG = "teacher.json"
_OWNERS = {STUDENT_CONFIG: "student", TEACHER_CONFIG: "teacher"}


def make_run_dir(run_dir: Path, config_file: str) -> None:
    """Make the folder of a new run.

    Args:
        run_dir: of the run.
        config_file: what the run's configuration will be called there, `STUDENT_CONFIG` or `TEACHER_CONFIG`.

    Raises:
        WorkspaceError: it holds a run already, of a student or of a teacher, or it cannot be made.
    """
    for name, owner in _OWNERS.items():
        if (run_dir / name).exists():
            way_out = "go on with --resume, or name another --run" if name == config_file else "name another --run"
            raise WorkspaceError(f"run {run_dir.name} exists already in {run_dir}, a {owner}'s; {way_out}")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_fault(run_dir, error) from error
