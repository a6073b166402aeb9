"""The materialised view: commits and changed lines by author, month and folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventsourcing.persistence import Tracking
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Executable,
    FromClause,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.mysql import VARCHAR

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert

LONGEST_NAME = 255

NUMBERS = "commits", "lines_added", "lines_removed"
"""The columns to which a commit adds."""

# On MySQL and MariaDB "José" and "jose" are one key, unless the column's collation is
# a binary one.
Name = String(LONGEST_NAME).with_variant(
    VARCHAR(LONGEST_NAME, charset="utf8mb4", collation="utf8mb4_bin"),
    "mysql",
    "mariadb",
)


@dataclass(frozen=True)
class Lines:
    """Numbers of lines that were added and removed."""

    added: int = 0
    removed: int = 0

    def __add__(self, other: "Lines") -> "Lines":
        return Lines(self.added + other.added, self.removed + other.removed)


@dataclass(frozen=True)
class Activity:
    """Commits, and the lines they changed."""

    commits: int = 0
    lines: Lines = Lines()

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(self.commits + other.commits, self.lines + other.lines)


def _adding(table: Table) -> Executable:
    """Adds to the numbers of a row, which are parameters, as the key is."""
    given: dict[str, Any] = {each.key: bindparam(each.key) for each in table.c}
    more = {name: table.c[name] + given[name] for name in NUMBERS}
    return upsert(table, given, set_=more)


class GitActivity(SQLAlchemyMaterialisedView):
    """Commits and changed lines by author, month and top-level folder.

    A commit that changes two folders counts as a commit in both, so there is a table
    of whole commits beside the one of folders.
    """

    metadata = MetaData()
    """The tables of the view, made with those of the package where they are missing."""

    commits = Table(
        "git_activity_commits",
        metadata,
        Column("author", Name, primary_key=True),
        Column("month", String(7), primary_key=True),
        Column("commits", BigInteger, nullable=False),
        Column("lines_added", BigInteger, nullable=False),
        Column("lines_removed", BigInteger, nullable=False),
    )
    folders = Table(
        "git_activity_folders",
        metadata,
        Column("author", Name, primary_key=True),
        Column("month", String(7), primary_key=True),
        Column("folder", Name, primary_key=True),
        Column("commits", BigInteger, nullable=False),
        Column("lines_added", BigInteger, nullable=False),
        Column("lines_removed", BigInteger, nullable=False),
    )

    add_to_commits = _adding(commits)
    add_to_folders = _adding(folders)

    def add_commit(
        self,
        author: str,
        month: str,
        folders: Mapping[str, Lines],
        tracking: Tracking,
    ) -> None:
        """Count a commit, and its position, in one transaction.

        Args:
            author: Who wrote the commit.
            month: When, as ``YYYY-MM``.
            folders: The changed lines of each folder; empty for a merge.
            tracking: The position of the event. Counting it again is refused.

        Raises:
            eventsourcing.persistence.IntegrityError: This position, or a later one,
                was counted already.
        """
        key = {"author": author[:LONGEST_NAME], "month": month}
        whole = key | _one_commit(sum(folders.values(), Lines()))
        by_folder = [
            key | {"folder": folder[:LONGEST_NAME]} | _one_commit(lines)
            for folder, lines in folders.items()
        ]
        with self.processing(tracking) as connection:
            connection.execute(self.add_to_commits, whole)
            if by_folder:
                connection.execute(self.add_to_folders, by_folder)

    def totals(self) -> Activity:
        """Return the numbers of all commits."""
        with self.reading() as connection:
            return _activity(connection.execute(select(*_sums(self.commits))).one())

    def authors(self, limit: int) -> dict[str, Activity]:
        """Return the authors of most commits, the busiest first."""
        return self._top(self.commits.c.author, func.sum(self.commits.c.commits), limit)

    def months(self, limit: int) -> dict[str, Activity]:
        """Return the last months, the latest first."""
        return self._top(self.commits.c.month, self.commits.c.month, limit)

    def top_folders(self, limit: int) -> dict[str, Activity]:
        """Return the folders with most changed lines, the busiest first."""
        lines = self.folders.c.lines_added + self.folders.c.lines_removed
        return self._top(self.folders.c.folder, func.sum(lines), limit)

    def _top(
        self, name: Column[str], order: ColumnElement[Any], limit: int
    ) -> dict[str, Activity]:
        statement = (
            select(*_sums(name.table), name)
            .group_by(name)
            .order_by(order.desc(), name)
            .limit(limit)
        )
        with self.reading() as connection:
            return {row[-1]: _activity(row) for row in connection.execute(statement)}


def _sums(table: FromClause) -> list[ColumnElement[Any]]:
    return [func.coalesce(func.sum(table.c[name]), 0) for name in NUMBERS]


def _one_commit(lines: Lines) -> dict[str, int]:
    return dict(zip(NUMBERS, (1, lines.added, lines.removed), strict=True))


def _activity(sums: Sequence[Any]) -> Activity:
    # Databases sum integers up to their own types, such as Decimal.
    commits, added, removed = map(int, sums[:3])
    return Activity(commits, Lines(added, removed))
