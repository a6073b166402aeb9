"""Record a repository's history, project it, stop, append, resume, and check it all.

``SQLALCHEMY_URL`` says on which database; by default it is a SQLite file that is gone
when the demo ends. On a database that is kept, the next run records what is new.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence, Set
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.projection import ProjectionRunner
from eventsourcing.utils import Environment
from rich.console import Console
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from git_history import report
from git_history.application import GitHistory
from git_history.git import GitError, GitRepository
from git_history.projection import GitActivityProjection, total
from git_history.view import Activity, GitActivity, Lines

BATCH = 500
"""Commits that are recorded in one transaction."""

ROWS = 10
"""Rows of each table that is printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0 if all numbers agreed."""
    parser = ArgumentParser(prog="git_history", description=__doc__)
    parser.add_argument(
        "--repo",
        type=Path,
        default=Path.cwd(),
        help="the git repository, by default the one around the current folder",
    )
    options = parser.parse_args(arguments)
    try:
        repository = GitRepository(options.repo)
        with database():
            return 0 if run(repository, Console()) else 1
    except (GitError, EventSourcingError, SQLAlchemyError) as error:
        print(f"git_history: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("git_history: interrupted", file=sys.stderr)
        return 130


@contextmanager
def database() -> Iterator[None]:
    """Set the environment: our persistence, on the user's database or a passing one."""
    os.environ["PERSISTENCE_MODULE"] = "eventsourcing_alchemy"
    if os.environ.get("SQLALCHEMY_URL"):
        yield
        return
    with TemporaryDirectory(prefix="git_history_") as folder:
        os.environ["SQLALCHEMY_URL"] = f"sqlite:///{folder}/git_history.db"
        yield
        del os.environ["SQLALCHEMY_URL"]


def run(repository: GitRepository, console: Console) -> bool:
    """Take the history through everything; return whether all numbers agreed."""
    url = make_url(os.environ["SQLALCHEMY_URL"])
    report.step(console, f"Migrating {url.render_as_string(hide_password=True)}")
    migrate()
    with GitHistory() as history, open_view() as view:
        report.step(console, f"Reading {repository.path}")
        hashes = repository.hashes()
        new = unrecorded(hashes, history)
        if repository.is_shallow:
            report.note(console, "a shallow clone: older commits are not in it")
        report.note(console, f"{len(hashes):,} commits, {len(new):,} not recorded yet")

        most = len(new) * 9 // 10
        report.step(console, f"Recording the first {most:,} of them")
        record(repository, new[:most], history, console)

        report.step(console, "Projecting them into the view")
        project(history, view, console)
        show(view, console)

        rest = len(new) - most
        report.step(console, f"Projection stopped: recording the other {rest:,}")
        record(repository, new[most:], history, console)

        report.step(console, "Projection started again")
        project(history, view, console)

        report.step(console, "Nothing missing, nothing processed twice?")
        return check(repository, hashes, history, view, console)


def migrate() -> None:
    """Do what ``alembic upgrade head`` does."""
    config = Config()
    config.set_main_option("script_location", "eventsourcing_alchemy.migrations:.")
    command.upgrade(config, "head")


@contextmanager
def open_view() -> Iterator[GitActivity]:
    """Open the view to read it, as a program that only shows it would."""
    env = Environment(GitActivityProjection.name, os.environ)
    with closing(InfrastructureFactory[GitActivity].construct(env)) as factory:
        yield factory.tracking_recorder(GitActivity)


def unrecorded(hashes: Sequence[str], history: GitHistory) -> list[str]:
    """Return the hashes of commits that are not recorded yet, in the same order."""
    recorded = {commit.sha for commit in history.recorded()}
    return [sha for sha in hashes if sha not in recorded]


def record(
    repository: GitRepository,
    hashes: Sequence[str],
    history: GitHistory,
    console: Console,
) -> None:
    """Record the commits as git reads them, many in a transaction."""
    done = 0
    commits = repository.commits(hashes)
    with report.progress(console, "commits recorded:", len(hashes)) as advance:
        while batch := list(islice(commits, BATCH)):
            history.record(batch)
            done += len(batch)
            advance(done)


def project(history: GitHistory, view: GitActivity, console: Console) -> None:
    """Run the projection until it has processed all that is recorded; then stop it."""
    start = view.max_tracking_id(history.name) or 0
    end = history.last_position()
    report.note(console, f"it starts after position {start:,}; the last is {end:,}")
    runner = ProjectionRunner(
        application_class=GitHistory,
        projection_class=GitActivityProjection,
        view_class=GitActivity,
    )
    processed = report.progress(console, "events processed:", end - start)
    with processed as advance, runner:
        position = start
        while position < end:
            with suppress(TimeoutError):
                runner.wait(end, timeout=0.1)
            position = view.max_tracking_id(history.name) or 0
            advance(position - start)


def show(view: GitActivity, console: Console) -> None:
    """Print the view."""
    report.activity(console, "author", view.authors(ROWS))
    report.activity(console, "month", view.months(ROWS))
    report.activity(console, "folder", view.top_folders(ROWS))


def check(
    repository: GitRepository,
    hashes: Sequence[str],
    history: GitHistory,
    view: GitActivity,
    console: Console,
) -> bool:
    """Compare what git, the events and the view say of commits and lines.

    A database that is kept may hold commits of other repositories, or that this one
    no longer reaches. They are in the view too.
    """
    git = Activity(len(hashes), Lines(*repository.lines(hashes)))
    events, others = count(history, frozenset(hashes))
    totals = view.totals()
    rows = {"git": git, "events": events, "events of other histories": others}
    report.activity(console, "told by", rows | {"view": totals})
    agreed = git == events and events + others == totals
    report.note(console, "They agree." if agreed else "THEY DO NOT AGREE.")
    return agreed


def count(history: GitHistory, hashes: Set[str]) -> tuple[Activity, Activity]:
    """Add up the events of the commits with these hashes, and of all others."""
    ours, others = Activity(), Activity()
    for commit in history.recorded():
        activity = Activity(1, total(commit.changes))
        if commit.sha in hashes:
            ours += activity
        else:
            others += activity
    return ours, others
