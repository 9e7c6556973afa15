"""Where everything of a run lies: the workspace's folders and file names."""

import os
from dataclasses import dataclass
from pathlib import Path

from manifests.names import check_name
from pipeline.errors import WorkspaceError

SHARDS_FOLDER = "shards"
FLOW_FOLDER = "flow"
DEFAULT_WORKSPACE = "kinet-workspace"
WORKSPACE_VARIABLE = "KINET_WORKSPACE"
# For workspaces in a store: local folders of what cannot be there.
RUNS_VARIABLE = "KINET_RUNS_DIR"
VIDEOS_VARIABLE = "KINET_VIDEOS_DIR"


@dataclass(frozen=True)
class Workspace:
    """The paths below one workspace folder, local or in a store (see `pipeline.store`); making one touches no disk.

    Names that would lead out of their folder raise ValueError.
    """

    root: Path

    @classmethod
    def locate(cls, workspace_dir: str | None = None) -> "Workspace":
        """Choose the folder or URL: the argument, else $KINET_WORKSPACE, else ./kinet-workspace.

        The path becomes absolute, for workers that stand in other folders.

        Raises:
            WorkspaceError: a URL whose store cannot be reached.
        """
        chosen = workspace_dir or os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE
        if "://" not in chosen:
            return cls(Path(chosen).absolute())
        from pipeline.store import locate

        return cls(locate(chosen))

    def manifest_path(self, dataset: str) -> Path:
        """Return the manifest file of a data set."""
        return self.root / "manifests" / f"{check_name('data set', dataset)}.csv"

    def teacher_path(self, kind: str) -> Path:
        """Return the weights file of the "human" or "scene" teacher; its side file has the suffix ``.json``."""
        return self.root / "teachers" / f"{kind}.safetensors"

    def shards_dir(self, dataset: str) -> Path:
        """Return the folder of a data set's shards, receipts, plan and quarantine list: labels of both teachers."""
        return self.root / SHARDS_FOLDER / check_name("data set", dataset)

    def teacher_shards_dir(self, dataset: str, kind: str) -> Path:
        """Return the folder of the shards of the "human" or "scene" teacher alone."""
        return self.shards_dir(dataset) / kind

    def flow_shards_dir(self, dataset: str) -> Path:
        """Return the folder of a data set's optical flow, in shards of its own."""
        return self.shards_dir(dataset) / FLOW_FOLDER

    def run_dir(self, run: str) -> Path:
        """Return the folder of one training run; raise WorkspaceError where it would be no local one."""
        return self._local_dir("runs", RUNS_VARIABLE) / check_name("run", run)

    def videos_dir(self, dataset: str) -> Path:
        """Return the folder of videos that the project makes itself (the synthetic data set)."""
        return self._local_dir("videos", VIDEOS_VARIABLE) / check_name("data set", dataset)

    def _local_dir(self, name: str, variable: str) -> Path:
        """Return a folder that must be on a local disk: the workspace's, or for a store's that of the variable."""
        if isinstance(self.root, Path):
            return self.root / name
        chosen = os.environ.get(variable)
        if not chosen:
            raise WorkspaceError(
                f"{name} of {self.root} are written to a local disk: name a folder for them in ${variable}"
            )
        return Path(chosen).absolute()
