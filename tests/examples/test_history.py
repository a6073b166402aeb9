"""The application of the example, its projection and its view, on every database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from eventsourcing.persistence import IntegrityError, Tracking

from eventsourcing_alchemy import SQLAlchemyProjectionRunner
from git_history.application import PAGE, GitHistory
from git_history.domain import Commit, FileChange
from git_history.projection import GitActivityProjection
from git_history.view import LONGEST_NAME, Activity, GitActivity, Lines

Env = dict[str, str]
Runner = SQLAlchemyProjectionRunner[GitHistory, GitActivity]
MARCH = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


def commit(
    sha: str,
    author: str = "Ada",
    at: datetime = MARCH,
    changes: Sequence[FileChange] = (),
) -> Commit:
    return Commit(sha=sha, author=author, authored_at=at, changes=list(changes))


@contextmanager
def projecting(env: Env) -> Iterator[Runner]:
    with SQLAlchemyProjectionRunner(
        application_class=GitHistory,
        projection_class=GitActivityProjection,
        view_class=GitActivity,
        env=env,
    ) as runner:
        yield runner


def record(runner: Runner, *commits: Commit) -> None:
    runner.app.record(commits)
    runner.wait(runner.app.last_position(), timeout=10)


def test_commits_are_recorded_as_they_are(env: Env) -> None:
    changes = [FileChange("src/żółć.py", 3, 2), FileChange("README", 0, 1)]
    with GitHistory(env) as history:
        history.record([commit("c1", "王小明", MARCH, changes), commit("c2")])
        first, second = history.recorded()
    assert (first.sha, first.author, first.authored_at) == ("c1", "王小明", MARCH)
    assert first.changes == changes
    assert (second.sha, second.changes) == ("c2", [])


def test_commit_is_recorded_once(env: Env) -> None:
    with GitHistory(env) as history:
        history.record([commit("c1")])
        with pytest.raises(IntegrityError):
            history.record([commit("c2"), commit("c1")])
        assert [each.sha for each in history.recorded()] == ["c1"]
        assert history.last_position() == 1


def test_recorded_commits_are_read_page_by_page(env: Env) -> None:
    hashes = [f"c{number}" for number in range(PAGE + 1)]
    with GitHistory(env) as history:
        assert history.last_position() == 0
        assert list(history.recorded()) == []
        history.record(map(commit, hashes))
        assert [each.sha for each in history.recorded()] == hashes


def test_view_counts_by_author_month_and_folder(env: Env) -> None:
    april = datetime(2026, 4, 1, tzinfo=UTC)
    both = [
        FileChange("src/a/b.py", 5, 1),
        FileChange("src/c.py", 2, 0),
        FileChange("README", 0, 3),
    ]
    with projecting(env) as runner:
        record(
            runner,
            commit("c1", "Ada", MARCH, both),
            commit("c2", "Ada", april, [FileChange("src/c.py", 1, 1)]),
            commit("c3", "Grace", april),
        )
        view = runner.view
        assert view.totals() == Activity(3, Lines(8, 5))
        assert list(view.authors(9).items()) == [
            ("Ada", Activity(2, Lines(8, 5))),
            ("Grace", Activity(1)),
        ]
        assert list(view.months(9).items()) == [
            ("2026-04", Activity(2, Lines(1, 1))),
            ("2026-03", Activity(1, Lines(7, 4))),
        ]
        assert list(view.top_folders(9).items()) == [
            ("src", Activity(2, Lines(8, 2))),
            (".", Activity(1, Lines(0, 3))),
        ]
        assert list(view.authors(1)) == ["Ada"]


def test_empty_view(env: Env) -> None:
    with projecting(env) as runner:
        assert runner.view.totals() == Activity()
        assert runner.view.authors(9) == {}


def test_authors_differ_by_case_and_accent(env: Env) -> None:
    names = {"José", "Jose", "jose", "JOSÉ"}
    with projecting(env) as runner:
        record(runner, *(commit(name, name) for name in names))
        assert set(runner.view.authors(9)) == names


def test_names_are_cut_where_the_column_ends(env: Env) -> None:
    author, folder = "ż" * (LONGEST_NAME + 1), "日" * (LONGEST_NAME + 1)
    change = FileChange(f"{folder}/a", 1, 0)
    with projecting(env) as runner:
        record(runner, commit("c1", author, MARCH, [change]))
        assert list(runner.view.authors(9)) == [author[:-1]]
        assert list(runner.view.top_folders(9)) == [folder[:-1]]


def test_nothing_is_counted_twice(env: Env) -> None:
    with projecting(env) as runner:
        record(runner, commit("c1", changes=[FileChange("a", 1, 1)]))
        with pytest.raises(IntegrityError):
            runner.view.add_commit(
                "Ada", "2026-03", {".": Lines(1, 1)}, Tracking(GitHistory.name, 1)
            )
        assert runner.view.totals() == Activity(1, Lines(1, 1))


@pytest.mark.needs("shared")
def test_projection_goes_on_after_what_it_counted(env: Env) -> None:
    with projecting(env) as runner:
        record(runner, commit("c1"), commit("c2"))
    with GitHistory(env) as history:
        history.record([commit("c3")])
    with projecting(env) as runner:
        runner.wait(3, timeout=10)
        assert runner.view.totals() == Activity(3)
