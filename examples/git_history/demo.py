"""Record a repository's history, project it by two copies of a runner, and check it.

``SQLALCHEMY_URL`` says on which database; by default it is a SQLite file that is gone
when the demo ends. On a database that is kept, the next run records what is new.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from eventsourcing.domain import EventSourcingError
from rich.console import Console
from sqlalchemy import make_url

from git_history import report
from git_history.application import GitHistory
from git_history.copies import MOMENT, Copy, batches, start_copy, wait_until_it_works
from git_history.git import GitError, GitRepository
from git_history.projection import GitActivityProjection, total
from git_history.view import Activity, GitActivity, Lines

BATCH = 500
"""Commits that are recorded in one transaction."""

ROWS = 10
"""Rows of each table that is printed."""

TERMS = (
    "lines/commit: lines added and removed, divided by commits",
    'folder: of the top level; "." holds the files that are in no folder; a commit',
    "        that changes files in two folders counts in both",
)
"""What the tables do not say by themselves."""


@dataclass(frozen=True)
class Demo:
    """What the steps of the demo share."""

    repository: GitRepository
    history: GitHistory
    view: GitActivity
    console: Console

    def run(self) -> bool:
        """Take the history through everything; return whether all numbers agreed."""
        report.step(self.console, f"Reading {self.repository.path}")
        hashes = self.repository.hashes()
        new = self.unrecorded(hashes)
        if self.repository.is_shallow:
            self.note("a shallow clone: older commits are not in it")
        self.note(f"{len(hashes):,} commits, {len(new):,} not recorded yet")

        most = len(new) * 9 // 10
        report.step(self.console, f"Recording the first {most:,} of them")
        self.record(new[:most])
        self.project(new[most:])

        report.step(self.console, "Is anything missing, or was it counted twice?")
        return self.check(hashes)

    def project(self, more: Sequence[str]) -> None:
        """Run two copies of the projection; stop one before more is recorded."""
        report.step(self.console, "Starting copy 1 of the projection, then copy 2")
        start = self.position()
        with start_copy() as first:
            wait_until_it_works(first)
            with start_copy() as second:
                self.note(f"copy 1 is {first.health().state}: it does the work")
                self.note(f"copy 2 is {second.health().state}: it waits for its turn")
                self.follow(first, start)
                self.show()
                self.take_over(first, second)
                report.step(self.console, f"Recording {len(more):,} more")
                start = self.position()
                self.record(more)
                self.follow(second, start)

    def take_over(self, first: Copy, second: Copy) -> None:
        """Stop the copy that works, and wait for the one that stands by."""
        report.step(self.console, "Stopping copy 1")
        stopped = monotonic()
        first.stop()
        wait_until_it_works(second)
        seconds = monotonic() - stopped
        self.note(f"copy 2 is {second.health().state}: it took over in {seconds:.1f} s")

    def unrecorded(self, hashes: Sequence[str]) -> list[str]:
        """Return the hashes of commits that are not recorded yet, in the same order."""
        recorded = {commit.sha for commit in self.history.recorded()}
        return [sha for sha in hashes if sha not in recorded]

    def record(self, hashes: Sequence[str]) -> None:
        """Record the commits as git reads them, many in a transaction."""
        done = 0
        commits = self.repository.commits(hashes)
        progress = report.progress(self.console, "commits recorded:", len(hashes))
        with progress as advance:
            while batch := list(islice(commits, BATCH)):
                self.history.record(batch)
                done += len(batch)
                advance(done)

    def follow(self, copy: Copy, start: int) -> None:
        """Wait until the copy has processed all that is recorded."""
        end = self.history.last_position()
        self.note(f"it starts after position {start:,}; the last is {end:,}")
        progress = report.progress(self.console, "events processed:", end - start)
        with progress as advance:
            while (position := self.position()) < end:
                advance(position - start)
                copy.run_forever(timeout=MOMENT)  # Raises what the projection raised.
            advance(position - start)
        report.batches(self.console, batches(copy))

    def position(self) -> int:
        """Return the position of the event that the projection processed last."""
        return self.view.max_tracking_id(self.history.name) or 0

    def show(self) -> None:
        """Print the view."""
        report.activity(self.console, "author", self.view.authors(ROWS))
        report.activity(self.console, "month", self.view.months(ROWS))
        report.activity(self.console, "folder", self.view.top_folders(ROWS))
        for line in TERMS:
            self.note(line)

    def check(self, hashes: Sequence[str]) -> bool:
        """Compare what git, the events and the view say of commits and lines.

        A database that is kept may hold commits of other repositories, or that this
        one no longer reaches. They are in the view too.
        """
        git = Activity(len(hashes), Lines(*self.repository.lines(hashes)))
        ours, others = self.count(frozenset(hashes))
        view = self.view.totals()
        rows = {"git": git, "events": ours}
        if others.commits:
            rows["events of other histories"] = others
        report.activity(self.console, "told by", rows | {"view": view})
        agreed = git == ours and ours + others == view
        self.note(
            "No: git, the events and the view agree."
            if agreed
            else "THEY DO NOT AGREE: this is a bug, please report it."
        )
        return agreed

    def count(self, hashes: Set[str]) -> tuple[Activity, Activity]:
        """Add up the events of the commits with these hashes, and of all others."""
        ours, others = Activity(), Activity()
        for commit in self.history.recorded():
            activity = Activity(1, total(commit.changes))
            if commit.sha in hashes:
                ours += activity
            else:
                others += activity
        return ours, others

    def note(self, text: str) -> None:
        """Print what came of a step."""
        report.note(self.console, text)


def open_view() -> AbstractContextManager[GitActivity]:
    """Open the view to read it, as a program that only shows it would."""
    return GitActivity.opened(GitActivityProjection.name)


def migrate() -> None:
    """Do what ``alembic upgrade head`` does."""
    config = Config()
    config.set_main_option("script_location", "eventsourcing_alchemy.migrations:.")
    command.upgrade(config, "head")


@contextmanager
def database() -> Iterator[str]:
    """Have our persistence on the user's database, or else on one that passes."""
    os.environ["PERSISTENCE_MODULE"] = "eventsourcing_alchemy"
    with TemporaryDirectory(prefix="git_history_") as folder:
        if not os.environ.get("SQLALCHEMY_URL"):
            os.environ["SQLALCHEMY_URL"] = f"sqlite:///{folder}/git_history.db"
        url = make_url(os.environ["SQLALCHEMY_URL"])
        if url.get_backend_name() == "sqlite" and url.database in {None, ":memory:"}:
            raise SystemExit(
                "git_history: an in-memory database is private to whoever opens it, "
                "and the demo opens it more than once: name a file in SQLALCHEMY_URL"
            )
        yield url.render_as_string(hide_password=True)


def run(repository: GitRepository, console: Console) -> bool:
    """Migrate the database, and run the demo on it."""
    with database() as url:
        report.step(console, f"Migrating {url}")
        migrate()
        with GitHistory() as history, open_view() as view:
            return Demo(repository, history, view, console).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0 if all numbers agreed."""
    parser = ArgumentParser(prog="git_history", description=__doc__)
    parser.add_argument(
        "--repo",
        type=Path,
        default=Path.cwd(),
        help="the git repository, by default the one around the current folder",
    )
    try:
        repository = GitRepository(parser.parse_args(arguments).repo)
        return 0 if run(repository, Console()) else 1
    except (GitError, CommandError, EventSourcingError) as error:
        print(f"git_history: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("git_history: interrupted", file=sys.stderr)
        return 130
