"""The way out that every message about a damaged shard or receipt ends with."""

from pathlib import Path

from pipeline.shards.schema import BOTH_TEACHERS
from pipeline.workspace import FLOW_FOLDER, SHARDS_FOLDER


def repair_hint(path: Path) -> str:
    """Return the command that repairs the set of a shard or receipt, told by its folder in a workspace.

    Where the folder is no workspace's, the data set's name is left to be filled in.
    """
    folder = path.parent
    options = {FLOW_FOLDER: " --flow"} | {str(kind): f" --teachers {kind}" for kind in BOTH_TEACHERS}
    if folder.parent.parent.name == SHARDS_FOLDER and folder.name in options:
        named = f"{folder.parent.name}{options[folder.name]}"
    elif folder.parent.name == SHARDS_FOLDER:
        named = folder.name
    else:
        named = "NAME (with --flow where it is optical flow)"
    return f"run kinet-pipeline verify --repair --dataset {named}"
