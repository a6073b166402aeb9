"""What all commands have in common: exit codes, documents, and what they never show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import make_url

from backends import Backend, Capability
from cli.command import Command, CommandInProcess
from cli.shop import DECLARED, Shop

SECRET = "s3cr3t"  # noqa: S105

TOO_MANY = str(2**70)

FINE = [
    ("status",),
    ("events", "Shop"),
    ("aggregate", "Shop", "ID"),
    ("topics", "Shop"),
    ("dead-letters", "list"),
    ("verify",),
    ("verify", "Shop"),
    ("schema", "current"),
    ("schema", "check"),
    ("schema", "upgrade"),
]
"""Commands that find nothing to look after, and may print a document."""

WRONG = [
    ("nonsense",),
    ("status", "nobody"),
    ("status", "--max-lag", "-1"),
    ("status", "--max-lag", "nan"),
    ("status", "--max-lag", "inf"),
    ("status", "--watch", "--interval", "nan"),
    ("status", "--watch", "--interval", "inf"),
    ("events",),
    ("events", "Nothing"),
    ("events", "Shop", "--aggregate", "x", "--topic", "t"),
    ("events", "Shop", "--after", "-1"),
    ("events", "Shop", "--after", str(2**63)),
    ("events", "Shop", "--limit", TOO_MANY),
    ("aggregate", "Shop", "nobody"),
    ("aggregate", "Shop", "ID", "--limit", TOO_MANY),
    ("aggregate", "Shop", "x" * 300),
    ("topics", "Nothing"),
    ("dead-letters", "show", "sales", "1"),
    ("dead-letters", "show", "sales", TOO_MANY),
    ("dead-letters", "show", "\udcff", "1"),
    ("dead-letters", "list", "--limit", TOO_MANY),
    ("dead-letters", "list", "\udcff"),
    ("events", "\udcff"),
    ("status", "\udcff"),
    ("dead-letters", "discard", "sales"),
    ("dead-letters", "discard", "sales", "1", "--all"),
    ("dead-letters", "retry", "nobody", "1"),
    ("verify", "Nothing"),
    ("verify", "--limit", TOO_MANY),
    ("verify", "--limit", str(2**63 - 1)),
    ("verify", "--from", "nowhere"),
    ("copy", "Shop"),
    ("copy", "Shop", "--from", "nowhere"),
    ("rebuild", "nobody"),
    ("reset", "nobody", "--yes"),
    ("run",),
    ("run", "nobody"),
    ("run", "sales", "--max-lag", "nan"),
    ("web", "--port", "x"),
    ("web", "--interval", "inf"),
    ("doctor", "too much"),
    ("schema", "nonsense"),
]

REACHING = [
    ("status",),
    ("events", "Shop"),
    ("aggregate", "Shop", "x"),
    ("topics", "Shop"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "sales", "1"),
    ("dead-letters", "discard", "sales", "1"),
    ("dead-letters", "retry", "sales", "1"),
    ("verify",),
    ("doctor",),
    ("schema", "current"),
    ("schema", "check"),
    ("schema", "upgrade"),
    ("rebuild", "sales"),
    ("reset", "sales", "--yes"),
    ("run", "sales"),
]


@pytest.mark.needs(Capability.SHARED)
def test_documents(shop: Shop, command: Command) -> None:
    """One each, with a version, and nothing else."""
    command.declare(DECLARED)
    product_id = shop.add("book")
    for each in FINE:
        arguments = [str(product_id) if it == "ID" else it for it in each]
        assert command.json(*arguments)["command"] in " ".join(arguments), each


@pytest.mark.once
@pytest.mark.needs(Capability.SHARED)
def test_wrong_use(shop: Shop, command: Command) -> None:
    """It is told to standard error, where documents are expected, too."""
    command.declare(DECLARED)
    shop.add("book")
    for each in WRONG:
        result = command("--json", *each, code=2)
        assert result.stdout == "", each
        assert result.stderr, each


@pytest.mark.needs(Capability.SERVER)
def test_unreachable(backend: Backend, env: dict[str, str], tmp_path: Path) -> None:
    """Nor is a password shown."""
    url = make_url(backend.url).set(port=1, password=SECRET)
    env = {
        **env,
        "SQLALCHEMY_URL": url.render_as_string(hide_password=False),
        "SQLALCHEMY_RETRY_TIMEOUT": "0",
    }
    command = CommandInProcess(env, tmp_path)
    command.declare(DECLARED)
    for each in REACHING:
        result = command("--json", *each, code=3)
        assert SECRET not in result.stdout + result.stderr, each
        assert result.stdout == "" or each == ("doctor",)
        assert result.stderr or json.loads(result.stdout)["findings"]


@pytest.mark.parametrize(
    "url",
    [
        f"nonsense://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@127.0.0.1:port/d",
        f"postgresql+nothing://u:{SECRET}@h/d",
        SECRET,
    ],
)
def test_urls_that_are_wrong(tmp_path: Path, url: str) -> None:
    command = CommandInProcess({"SQLALCHEMY_URL": url}, tmp_path)
    for each in ("status", "doctor", "verify", "web"):
        result = command(each, code=2)
        assert "SQLALCHEMY_URL" in result.stderr
        assert SECRET not in result.stdout + result.stderr


@pytest.mark.once
@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("is_unbuffered", ["", "1"])
def test_a_reader_that_goes_away(
    shop: Shop, command_process: Command, is_unbuffered: str
) -> None:
    """As `head` does."""
    command_process.variables["PYTHONUNBUFFERED"] = is_unbuffered
    for _ in range(500):
        shop.add("x" * 200)
    with command_process.popen("events", "Shop", "--limit", "500") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 4
        assert process.stderr.read() == ""
