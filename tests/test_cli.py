"""The command line as a whole: quick help, every command documented, one line for a fault."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.cli import COMMANDS, cli

REPOSITORY = Path(__file__).parents[1]


def all_commands() -> list[tuple[str, click.Command]]:
    """List every command and subcommand with its full name."""
    context = click.Context(cli)
    found = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", subcommand) for sub, subcommand in command.commands.items()]
    return found


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], *[[name, "--help"] for name in COMMANDS]])
def test_help_loads_neither_torch_nor_ray(arguments: list[str]) -> None:
    program = (
        "import sys, click\n"
        "from pipeline.cli import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        "heavy = sorted({'torch', 'ray', 'h5py', 'av', 'torchvision'} & set(sys.modules))\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_has_help_for_itself_and_its_options() -> None:
    for name, command in all_commands():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in ("help", "version"):
                shown = parameter.help or parameter.show_default or parameter.metavar
                assert shown, f"{name} {parameter.opts}"


def test_the_readme_names_every_command_and_no_other() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for name in COMMANDS:
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", readme), f"{name} is not in the README"
    for used in re.findall(r"^kinet-pipeline ([a-z-]+)", readme, flags=re.MULTILINE):
        assert used in COMMANDS, f"the README uses {used}"


def test_the_readmes_options_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text().replace("\\\n", " ")
    commands = dict(all_commands())
    for line in re.findall(r"^kinet-pipeline (.+)$", readme, flags=re.MULTILINE):
        words = line.split("#")[0].split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in commands else words[0]
        known = {option for parameter in commands[name].params for option in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word in known, f"{name} has no {word}"


@pytest.mark.parametrize("command", ["label", "status", "verify", "train-student"])
def test_an_unknown_data_set_is_one_line_with_the_nearest_name(command: str, tmp_path: Path) -> None:
    done = run(command, "--dataset", "kinetics40", "--workspace", str(tmp_path))
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "kinetics400" in done.stderr


def test_wrong_usage_is_2() -> None:
    assert run("label").returncode == 2
    assert run("no-such-command").returncode == 2
    assert run("label", "--dataset", "x", "--workers", "-1").returncode == 2


def test_the_workspace_may_stand_before_or_after_the_command(tmp_path: Path) -> None:
    for arguments in (["--workspace", str(tmp_path), "status"], ["status", "--workspace", str(tmp_path)]):
        done = run(*arguments, "--dataset", "ucf101")
        assert str(tmp_path) in done.stderr
    result = CliRunner(env={"KINET_WORKSPACE": str(tmp_path)}).invoke(cli, ["status", "--dataset", "ucf101"])
    assert str(tmp_path) in str(result.exception)


def test_json_prints_one_object(tmp_path: Path) -> None:
    done = run("manifest", "build", "synthetic", "--workspace", str(tmp_path), "--videos-per-class", "1",
               "--test-videos-per-class", "1", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
