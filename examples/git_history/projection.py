"""The projection: it takes every recorded commit to the view."""

from collections.abc import Iterable
from uuid import UUID

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection

from git_history.domain import Commit, FileChange
from git_history.view import GitActivity, Lines


class GitActivityProjection(Projection[GitActivity]):
    """Counts recorded commits in the view, each one once.

    The tracking object holds the position of the event. The view stores it in the
    transaction that counts, so that a projection that was stopped, or that crashed,
    goes on after the last event it counted.
    """

    name = "git_activity"

    @singledispatchmethod
    def process_event(
        self,
        domain_event: DomainEventProtocol[UUID],  # noqa: ARG002
        tracking: Tracking,
    ) -> None:
        """Move on past an event that is not counted."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def commit_recorded(
        self, domain_event: Commit.Recorded, tracking: Tracking
    ) -> None:
        """Count a commit under its author, its month and the folders it changed."""
        self.view.add_commit(
            author=domain_event.author,
            month=domain_event.authored_at.isoformat()[: len("2026-01")],
            folders=lines_by_folder(domain_event.changes),
            tracking=tracking,
        )


def lines_by_folder(changes: Iterable[FileChange]) -> dict[str, Lines]:
    """Return the changed lines of each top-level folder; ``.`` is the root."""
    folders: dict[str, Lines] = {}
    for change in changes:
        folder = change.path.partition("/")[0] if "/" in change.path else "."
        folders[folder] = folders.get(folder, Lines()) + total([change])
    return folders


def total(changes: Iterable[FileChange]) -> Lines:
    """Return the lines of all the changes."""
    return sum((Lines(change.added, change.removed) for change in changes), Lines())
