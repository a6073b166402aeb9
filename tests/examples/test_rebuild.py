"""The history of a repository: its view is rebuilt while commits are recorded."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from eventsourcing_alchemy import SQLAlchemyProjectionRunner, rebuild
from git_history.application import GitHistory
from git_history.git import GitRepository
from git_history.projection import GitActivityProjection
from git_history.view import GitActivity, Lines

from .repositories import AT, make_repository

NUMBER = 40
BEFORE = 25


@pytest.mark.needs("shared")
def test_git_and_the_view_agree(env: dict[str, str], tmp_path: Path) -> None:
    scratch = make_repository(tmp_path / "repository")
    for number in range(NUMBER):
        files: dict[str, str | bytes] = {f"{number % 3}/file": f"{number}\n" * number}
        scratch.commit(files, author=f"Author {number % 4}", at=AT + number * 10**6)
    repository = GitRepository(scratch.path)
    hashes = repository.hashes()
    commits = list(repository.commits(hashes))
    has_begun = Event()
    classes: dict[str, Any] = {
        "application_class": GitHistory,
        "projection_class": GitActivityProjection,
        "view_class": GitActivity,
        "env": env,
    }
    runner: SQLAlchemyProjectionRunner[GitHistory, GitActivity]
    with SQLAlchemyProjectionRunner(**classes) as runner:
        runner.app.record(commits[:BEFORE])
        runner.wait(runner.app.last_position(), timeout=20)

        def record() -> None:
            has_begun.wait(20)
            for commit in commits[BEFORE:]:
                runner.app.record([commit])

        writer = Thread(target=record)
        writer.start()
        rebuild(progress=lambda _: has_begun.set(), **classes)
        writer.join()
        runner.wait(runner.app.last_position(), timeout=20)
        totals = runner.view.totals()
    assert totals.commits == NUMBER
    assert totals.lines == Lines(*repository.lines(hashes))
