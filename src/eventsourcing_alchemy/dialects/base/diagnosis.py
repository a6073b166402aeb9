"""What to look after in a database, as far as a connection can tell."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import URL, Connection


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    """There is nothing to do."""

    WARNING = "warning"
    """It works, and may cost time, or commits, or people their sleep."""

    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes:
        check: the thing.
        level: how bad it is.
        text: what was found.
        remedy: what to do; None where there is nothing.
    """

    check: str
    level: Level
    text: str
    remedy: str | None = None


class Diagnosis:
    """What to look after in a database."""

    def server(self, connection: Connection) -> str:
        """The name and version of the database."""
        version = connection.dialect.server_version_info or ()
        return f"{connection.dialect.name} {'.'.join(map(str, version))}".strip()

    def durability(self, connection: Connection) -> Iterator[Finding]:  # noqa: ARG002
        """Whether commits that were acknowledged survive a crash."""
        yield from ()

    def limits(self, connection: Connection) -> Iterator[Finding]:  # noqa: ARG002
        """What the database cannot take, or has no room for."""
        yield from ()

    def between(self, connection: Connection, url: URL) -> Iterator[Finding]:  # noqa: ARG002
        """What is between this process and the database."""
        yield from ()
