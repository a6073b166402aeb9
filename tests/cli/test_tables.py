"""Tables for people, as golden files: wide, narrow, and in a pipe."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from eventsourcing_alchemy.cli import status
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.operations.overview import (
    ApplicationStatus,
    LeaseStatus,
    Overview,
    ProjectionState,
    ProjectionStatus,
)
from eventsourcing_alchemy.operations.progress import ProjectionProgress

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2026, 11, 26, 12, 0, 5, tzinfo=UTC)
SEEN = Overview(
    [
        ApplicationStatus("Bank", 1_234_567, 812.46, NOON),
        ApplicationStatus("[bold]\x1b[31mShop", 0, None, None),
    ],
    [
        ProjectionStatus(
            "balances",
            "Bank",
            1_234_000,
            1_234_567,
            567,
            0.7,
            LeaseStatus("host-1:4711:0123456789abcdef", NOON, is_held=True),
            0,
            ProjectionState.FOLLOWING,
        ),
        ProjectionStatus(
            "sales", "Gone", 17, None, 0, 0.0, None, 3, ProjectionState.ORPHANED
        ),
    ],
)
PROGRESS = {("balances", "Bank"): ProjectionProgress(1234.5, 61.2)}


def printed(width: int, *, colour: bool = False, watched: bool = False) -> str:
    file = StringIO()
    output = Output(as_json=False)
    output.console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    status._show(output, SEEN, PROGRESS if watched else {})
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "width", "watched"),
    [("wide", 180, False), ("narrow", 60, False), ("watched", 200, True)],
)
def test_status(name: str, width: int, watched: bool) -> None:
    expected = (GOLDEN / f"status-{name}.txt").read_text(encoding="utf-8")
    assert printed(width, watched=watched) == expected


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, printed(width).splitlines())) <= width


def test_nothing_that_a_terminal_obeys() -> None:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed(180))
    assert "[bold]" in printed(180)


def test_a_pipe_is_as_wide_as_it_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Output(as_json=False).console.width == 1000
