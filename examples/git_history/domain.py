"""What happens in the history of a repository: commits are recorded."""

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate, event


@dataclass(frozen=True)
class FileChange:
    """The lines that a commit added to a file, and removed from it."""

    path: str
    added: int
    removed: int


class Commit(Aggregate):
    """A commit of a git repository.

    A commit never changes, so recording it is all that ever happens to it. Its ID
    follows from its hash: the same commit, from whichever clone, is the same
    aggregate, and the database itself refuses to record it twice.
    """

    class Recorded(Aggregate.Created):
        """A commit was recorded, as git told it."""

        sha: str
        author: str
        authored_at: datetime
        changes: list[FileChange]

    @event(Recorded)
    def __init__(
        self,
        sha: str,
        author: str,
        authored_at: datetime,
        changes: list[FileChange],
    ) -> None:
        self.sha = sha
        self.author = author
        self.authored_at = authored_at
        self.changes = changes

    @staticmethod
    def create_id(sha: str) -> UUID:
        """Return the ID of the commit that has this hash."""
        return uuid5(NAMESPACE_URL, f"git:commit:{sha}")
