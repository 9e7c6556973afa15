"""Where everything of a run lies: the workspace's folders and file names."""

import os
from dataclasses import dataclass
from pathlib import Path

from manifests.names import check_name

DEFAULT_WORKSPACE = "kinet-workspace"
WORKSPACE_VARIABLE = "KINET_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """The paths below one workspace folder; making one touches no disk.

    Names that would lead out of their folder raise ValueError.
    """

    root: Path

    @classmethod
    def locate(cls, workspace_dir: str | None = None) -> "Workspace":
        """Choose the folder: the argument, else $KINET_WORKSPACE, else ./kinet-workspace.

        The path becomes absolute, for workers that stand in other folders.
        """
        return cls(Path(workspace_dir or os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE).absolute())

    def manifest_path(self, dataset: str) -> Path:
        """Return the manifest file of a data set."""
        return self.root / "manifests" / f"{check_name('data set', dataset)}.csv"

    def teacher_path(self, kind: str) -> Path:
        """Return the weights file of the "human" or "scene" teacher; its side file has the suffix ``.json``."""
        return self.root / "teachers" / f"{kind}.safetensors"

    def shards_dir(self, dataset: str) -> Path:
        """Return the folder of a data set's shards, receipts, plan and quarantine list: labels of both teachers."""
        return self.root / "shards" / check_name("data set", dataset)

    def teacher_shards_dir(self, dataset: str, kind: str) -> Path:
        """Return the folder of the shards of the "human" or "scene" teacher alone."""
        return self.shards_dir(dataset) / kind

    def run_dir(self, run: str) -> Path:
        """Return the folder of one training run."""
        return self.root / "runs" / check_name("run", run)

    def videos_dir(self, dataset: str) -> Path:
        """Return the folder of videos that the project makes itself (the synthetic data set)."""
        return self.root / "videos" / check_name("data set", dataset)
