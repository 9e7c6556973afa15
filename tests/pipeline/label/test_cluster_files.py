"""The cluster files in the documents start commands that this command line understands."""

import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from pipeline.commands.label import label

DOCS_DIR = Path(__file__).parents[3] / "docs"


def options_of(words: list[str]) -> dict[str, object]:
    """Parse a command line as `kinet-pipeline label` would; a wrong option raises."""
    assert words[:2] == ["kinet-pipeline", "label"]
    with label.make_context("label", words[2:]) as context:
        return context.params


def test_the_kuberay_job_runs_a_command_of_ours() -> None:
    job = yaml.safe_load((DOCS_DIR / "kuberay-label.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    options = options_of(shlex.split(job["spec"]["entrypoint"]))
    workers = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert options["address"] == "auto" and options["workers"] == workers["maxReplicas"]
    (container,) = workers["template"]["spec"]["containers"]
    assert options["gpus_per_worker"] == float(container["resources"]["limits"]["nvidia.com/gpu"])
    workspace = str(options["workspace"].root)  # type: ignore[attr-defined]
    assert any(workspace.startswith(mount["mountPath"]) for mount in container["volumeMounts"])
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")


@pytest.mark.parametrize("name", ["slurm-label.sbatch", "slurm-label-array.sbatch"])
def test_a_slurm_script_is_bash_and_runs_a_command_of_ours(name: str) -> None:
    script = DOCS_DIR / name
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=True).stderr == b""
    (line,) = (line.strip() for line in script.read_text().splitlines() if line.strip().startswith("kinet-pipeline "))
    values = {'"$dataset"': "kinetics400", '"$workspace"': "/shared/workspace"}
    values |= dict.fromkeys(('"$head:$port"', '"$address"'), "node1:6379")
    for variable, value in values.items():
        line = line.replace(variable, value)
    options = options_of(shlex.split(line.removesuffix("&")))
    assert options["dataset"] == "kinetics400" and options["address"] == "node1:6379"
    assert str(options["workspace"].root) == "/shared/workspace"  # type: ignore[attr-defined]
