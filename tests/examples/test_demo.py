"""The demo, from its command line."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.console import Console

from git_history import report
from git_history.demo import main

from .repositories import AT, ScratchRepository, make_repository

Demo = Callable[[], tuple[int, str]]


@pytest.fixture
def scratch(tmp_path: Path) -> ScratchRepository:
    repository = make_repository(tmp_path / "repository")
    for number in range(20):
        files: dict[str, str | bytes] = {f"{number % 3}/file": f"{number}\n"}
        repository.commit(files, author=f"Author {number % 4}", at=AT + number * 10**6)
    return repository


@pytest.fixture
def demo(
    env: dict[str, str],
    scratch: ScratchRepository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Demo:
    """Run the demo on the database and the repository."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def run() -> tuple[int, str]:
        status = main(["--repo", str(scratch.path)])
        return status, capsys.readouterr().out

    return run


@pytest.mark.needs("shared")
def test_a_copy_takes_over_and_everything_agrees(demo: Demo) -> None:
    status, printed = demo()
    assert "20 commits, 20 not recorded yet" in printed
    assert "copy 1 is following" in printed
    assert "copy 2 is standby" in printed
    assert "it starts after position 0; the last is 18" in printed
    assert "copy 2 is following: it took over in" in printed
    assert "it starts after position 18; the last is 20" in printed
    assert "git, the events and the view agree." in printed
    assert status == 0


@pytest.mark.needs("shared")
def test_shows_events_that_share_a_transaction(demo: Demo) -> None:
    _, printed = demo()
    first, second = re.findall(r"events in each: (.+)", printed)
    assert sum(map(int, first.split(", "))) == 18
    assert sum(map(int, second.split(", "))) == 2
    assert max(map(int, first.split(", "))) > 1


@pytest.mark.needs("shared")
def test_goes_on_where_the_last_run_ended(
    demo: Demo, scratch: ScratchRepository
) -> None:
    demo()
    scratch.commit({"0/file": "new\n"})
    status, printed = demo()
    assert "21 commits, 1 not recorded yet" in printed
    assert "it starts after position 20; the last is 21" in printed
    assert status == 0
    status, printed = demo()
    assert "21 commits, 0 not recorded yet" in printed
    assert status == 0


@pytest.mark.needs("shared")
def test_commits_of_other_histories_are_told_apart(
    demo: Demo, scratch: ScratchRepository
) -> None:
    demo()
    scratch.git("reset", "-q", "--hard", "HEAD~5")
    scratch.commit({"other": "1\n"})
    status, printed = demo()
    assert "16 commits, 1 not recorded yet" in printed
    commits = {row[0]: row[1] for row in rows(printed)}
    assert commits["git"] == commits["events"] == "16"
    assert commits["events of other histories"] == "5"
    assert commits["view"] == "21"
    assert status == 0


def test_leaves_nothing_of_its_own_database(
    scratch: ScratchRepository, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = command("--repo", str(scratch.path), TMPDIR=str(folder))
    assert done.stderr == ""
    assert f"Migrating sqlite:///{folder}/" in done.stdout
    assert "the view agree." in done.stdout
    assert done.returncode == 0
    assert list(folder.iterdir()) == []


def test_reads_the_repository_it_stands_in(scratch: ScratchRepository) -> None:
    done = command(cwd=scratch.path / "0")
    assert "20 commits" in done.stdout
    assert done.returncode == 0


def test_says_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    done = command("--repo", str(tmp_path / "missing"))
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_refuses_a_database_that_its_parts_cannot_share(
    scratch: ScratchRepository,
) -> None:
    done = command("--repo", str(scratch.path), SQLALCHEMY_URL="sqlite://")
    assert "an in-memory database is private" in done.stderr
    assert done.returncode == 1


def test_says_in_a_line_that_the_database_is_out_of_reach(
    scratch: ScratchRepository, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'missing' / 'a.db'}"
    done = command("--repo", str(scratch.path), SQLALCHEMY_URL=url)
    assert "unable to open database file" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def command(
    *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the demo as a user does, without a terminal."""
    environment = {k: v for k, v in os.environ.items() if "SQLALCHEMY" not in k}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, "-m", "git_history", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(printed: str) -> list[list[str]]:
    """The cells of all tables."""
    return [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in printed.splitlines()
        if line.startswith("│")
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    printed = progress(Console(file=io.StringIO(), force_terminal=True, width=80))
    assert "━" in printed
    assert "100 of 100" in printed
    assert "done: 100 in " in printed


def test_progress_is_lines_elsewhere() -> None:
    printed = progress(Console(file=io.StringIO(), width=80))
    lines = [line.split(",")[0] for line in printed.splitlines()]
    tenths = [f"  done: {number}0 of 100 ({number}0%)" for number in range(1, 10)]
    assert lines[:-1] == tenths
    assert lines[-1].startswith("  done: 100 in ")


@pytest.mark.parametrize(
    ("done", "total", "percent"), [(45, 51, 88), (7, 9, 78), (599, 600, 99)]
)
def test_percentages_are_rounded_and_only_the_end_is_100(
    done: int, total: int, percent: int
) -> None:
    printed = progress(Console(file=io.StringIO(), width=80), total, [done])
    assert f"  done: {done} of {total} ({percent}%), " in printed


def test_of_many_transactions_the_first_are_shown() -> None:
    console = Console(file=io.StringIO(), width=80)
    report.batches(console, [2**number for number in range(9)] + [500] * 3)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "transactions: 12," in printed
    assert "events in each: 1, 2, 4, 8, 16, 32, 64, 128, 256, 500, … up to 500" in (
        printed
    )


def progress(
    console: Console, total: int = 100, steps: Iterable[int] = range(101)
) -> str:
    with report.progress(console, "done:", total) as advance:
        for number in steps:
            advance(number)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
