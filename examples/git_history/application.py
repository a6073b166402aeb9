"""The event-sourced application: it records commits and tells which it has."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, Transcoding

from git_history.domain import Commit, FileChange

PAGE = 500


class GitHistory(Application[UUID]):
    """The commits of git repositories, in the order in which they were recorded.

    Nothing in it knows which database it is on: ``PERSISTENCE_MODULE`` and
    ``SQLALCHEMY_URL`` say so, in the environment or in the ``env`` argument.
    """

    name = "git_history"

    def record(self, commits: Iterable[Commit]) -> None:
        """Record the commits in one transaction: all of them or none.

        Raises:
            eventsourcing.persistence.IntegrityError: One of them is recorded already.
        """
        self.save(*commits)

    def last_position(self) -> int:
        """Return the position of the commit recorded last; 0 where there is none."""
        return self.recorder.max_notification_id() or 0

    def recorded(self) -> Iterator[Commit.Recorded]:
        """Yield what was recorded, in order, a page of events at a time."""
        position = 0
        while page := self.recorder.select_notifications(
            start=position, limit=PAGE, inclusive_of_start=False
        ):
            for notification in page:
                domain_event = self.mapper.to_domain_event(notification)
                if isinstance(domain_event, Commit.Recorded):
                    yield domain_event
            position = page[-1].id

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        """Let events hold file changes."""
        super().register_transcodings(transcoder)
        transcoder.register(FileChangeAsList())


class FileChangeAsList(Transcoding):
    """Stores a file change as ``[path, added, removed]``."""

    type = FileChange
    name = "file_change"

    def encode(self, obj: FileChange) -> list[Any]:
        """Return the JSON of a file change."""
        return [obj.path, obj.added, obj.removed]

    def decode(self, data: list[Any]) -> FileChange:
        """Return the file change of its JSON."""
        return FileChange(*data)
