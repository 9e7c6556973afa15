"""A data set that is not there: the workspace is named, and what may have been meant."""

from pathlib import Path

import pytest

from manifests import VideoRecord, write_manifest
from pipeline.datasets import load_dataset
from pipeline.errors import ManifestError, UnknownDatasetError
from pipeline.workspace import Workspace


def test_a_data_set_without_a_manifest_is_told_with_the_workspace_and_the_way_out(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def fault(dataset: str) -> str:
        with pytest.raises(ManifestError) as caught:
            load_dataset(workspace, dataset)
        assert isinstance(caught.value, UnknownDatasetError) == (dataset != "ucf101")
        message = str(caught.value)
        assert f"data set {dataset} has no manifest in {tmp_path}" in message and "--workspace" in message
        return message

    assert "manifests there: none." in fault("clips")
    workspace.manifest_path("mine").parent.mkdir()
    write_manifest(workspace.manifest_path("mine"), [VideoRecord("v", tmp_path / "v.mp4", "train", 0, "c")])
    assert "manifests there: mine." in fault("clips")
    assert "manifest build folder --videos DIR --name clips" in fault("clips")
    assert "did you mean mine?" in fault("mines")
    assert "did you mean kinetics400?" in fault("kinetics40")
    assert "manifest build ucf101 --videos DIR" in fault("ucf101")
