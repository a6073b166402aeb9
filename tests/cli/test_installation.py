"""The entry points, what is missing, and what is common to all commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import EXECUTABLE, Command, CommandInProcess

WITHOUT = """
import sys
sys.modules["{name}"] = None
from eventsourcing_alchemy.__main__ import main
main()
"""


@pytest.fixture
def anywhere(tmp_path: Path) -> Command:
    """The command, on a file."""
    url = f"sqlite:///{tmp_path / 'es.db'}"
    return CommandInProcess({"SQLALCHEMY_URL": url}, tmp_path)


@pytest.mark.parametrize("name", ["typer", "rich", "dotenv"])
def test_a_missing_extra_is_one_line(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("install eventsourcing-alchemy with the extra 'cli'")


def test_nothing_imports_the_extra() -> None:
    code = (
        "import sys, eventsourcing_alchemy; print({'typer', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_help_and_wrong_use(anywhere: Command) -> None:
    assert "status" in anywhere("--help").stdout
    assert "Usage" in anywhere("schema", "--help").stdout
    anywhere("nonsense", code=2)
    anywhere("status", "--nonsense", code=2)


def test_a_file_that_is_not_of_text(anywhere: Command, tmp_path: Path) -> None:
    file = tmp_path / "database.env"
    file.write_bytes("PASSWORD=Läden".encode("latin-1"))
    for arguments in (
        ("--env-file", str(file), "status"),
        ("copy", "Shop", "--from", str(file)),
        ("verify", "Shop", "--from", str(file)),
    ):
        assert f"{file} cannot be read" in anywhere(*arguments, code=2).stderr


def test_variables_from_a_file(anywhere: Command, tmp_path: Path) -> None:
    file = tmp_path / "database.env"
    file.write_text(f"# a comment\nSQLALCHEMY_URL=sqlite:///{tmp_path}/$other.db\n")
    anywhere.variables["SQLALCHEMY_URL"] = None
    anywhere("--env-file", str(file), "schema", "upgrade")
    assert (tmp_path / "$other.db").exists()
    anywhere("--env-file", "nowhere", "status", code=2)
    anywhere.variables["SQLALCHEMY_URL"] = f"sqlite:///{tmp_path}/wins.db"
    anywhere("--env-file", str(file), "schema", "upgrade")
    assert (tmp_path / "wins.db").exists()


def test_options_by_variables(anywhere: Command) -> None:
    anywhere("schema", "upgrade")
    anywhere.variables["EVENTSOURCING_ALCHEMY_JSON"] = "1"
    assert json.loads(anywhere("status").stdout)["command"] == "status"
    anywhere.variables["EVENTSOURCING_ALCHEMY_STATUS_MAX_LAG"] = "many"
    anywhere("status", code=2)


def test_json_before_and_after_the_command(anywhere: Command) -> None:
    anywhere("schema", "upgrade")
    before = anywhere("--json", "schema", "current").stdout
    assert before == anywhere("schema", "current", "--json").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(anywhere: Command, shell: str) -> None:
    done = subprocess.run(
        EXECUTABLE,
        env={
            **anywhere.environment(),
            "_EVENTSOURCING_ALCHEMY_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "eventsourcing-alchemy sta",
            "COMP_CWORD": "1",
            "_TYPER_COMPLETE_ARGS": "eventsourcing-alchemy sta",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "status" in done.stdout
