"""Configuration files and commands that no test of a page can run are right, too.

A unit of systemd, an image, a deployment; commands that never end; settings of servers
that are not here.
"""

from __future__ import annotations

import json
import re
import shlex
from configparser import ConfigParser
from typing import Any

import pytest
from eventsourcing.utils import Environment
from typer.main import get_command

from docs.pages import PAGES, ROOT, Block, blocks
from eventsourcing_alchemy import Settings
from eventsourcing_alchemy.cli.app import app

SERVICES = [*blocks(ROOT / "docs" / "how-to" / "services.md")]
UNRUN = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language in ("text", "ini", "yaml", "sh")
]
SETTINGS = [block for block in UNRUN if block.text.startswith("SQLALCHEMY_")]
COMMANDS = [
    line.removeprefix("$ eventsourcing-alchemy ")
    for block in UNRUN
    for line in block.text.splitlines()
    if line.startswith("$ eventsourcing-alchemy ")
]


def check_command(arguments: list[str]) -> dict[str, Any]:
    """What the command would be called with, if it knows these arguments."""
    command: Any = get_command(app)
    context = command.make_context("eventsourcing-alchemy", [*arguments])
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    values: dict[str, Any] = context.params
    return values


def service(beginning: str) -> str:
    (found,) = [each.text for each in SERVICES if each.text.startswith(beginning)]
    return found


@pytest.mark.parametrize(
    "block", SETTINGS, ids=lambda block: f"{block.page.stem}:{block.line}"
)
def test_settings(block: Block) -> None:
    variables = {"SQLALCHEMY_URL": "postgresql+psycopg://"}
    variables |= dict(line.split("=", 1) for line in block.text.splitlines())

    settings = Settings.from_env(Environment("Bank", variables))

    assert settings.url.get_backend_name() in ("postgresql", "mysql", "mariadb")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    check_command(shlex.split(command))


def test_unit_of_systemd() -> None:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(service("# /etc/systemd/"))

    assert set(parser) == {"DEFAULT", "Unit", "Service", "Install"}
    program, *arguments = shlex.split(parser["Service"]["ExecStart"])
    assert program.endswith("/eventsourcing-alchemy")
    assert check_command(arguments)["names"] == ["balances"]


def test_image() -> None:
    text = service("FROM python:")
    (program,) = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[0])

    assert program == "eventsourcing-alchemy"
    values = check_command(json.loads(re.findall(r"^CMD (.*)$", text, re.M)[0]))
    assert values["health_host"] == "0.0.0.0"  # noqa: S104


def test_probes_of_the_deployment() -> None:
    text = service("apiVersion:")
    command = json.loads(re.findall(r"^CMD (.*)$", service("FROM python:"), re.M)[0])

    assert set(re.findall(r"path: (\S+),", text)) == {"/healthz", "/readyz"}
    ports = {int(each) for each in re.findall(r"[pP]ort: (\d+)", text)}
    assert ports == {check_command(command)["health_port"]}
