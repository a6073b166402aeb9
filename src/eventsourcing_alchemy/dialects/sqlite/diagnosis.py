"""The journal, its size, and durability, asked of SQLite."""

import os
from collections.abc import Iterator

from sqlalchemy import URL, Connection

from eventsourcing_alchemy.dialects.base.diagnosis import Diagnosis, Finding, Level
from eventsourcing_alchemy.dialects.sqlite.paths import path_of

LARGE_LOG = 100_000_000
"""Bytes of a write-ahead log that is not copied into the database."""

_SYNCHRONOUS = ("off", "normal", "full", "extra")


class SQLiteDiagnosis(Diagnosis):
    """The journal, its size, and durability."""

    def durability(self, connection: Connection) -> Iterator[Finding]:
        """By `synchronous` and `journal_mode` of our connections."""
        mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
        if mode == "wal":
            yield Finding("journal_mode", Level.OK, mode)
        else:
            text = f"{mode}: writers block readers"
            remedy = "PRAGMA journal_mode=WAL, on a disk of this machine"
            yield Finding("journal_mode", Level.WARNING, text, remedy)
        found = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        value = _SYNCHRONOUS[int(found or 0)]
        if value in ("full", "extra"):
            yield Finding("synchronous", Level.OK, value)
        else:
            text = f"{value}: a power failure may lose acknowledged commits"
            remedy = "PRAGMA synchronous=FULL, in each connection of your engine"
            yield Finding("synchronous", Level.WARNING, text, remedy)

    def between(self, connection: Connection, url: URL) -> Iterator[Finding]:  # noqa: ARG002
        """The file, and its log."""
        path = path_of(url)
        if path is None:  # In memory.
            return
        if not os.access(path, os.W_OK):
            text, remedy = (
                f"{path} is not writable",
                "Check the owner and mode of the file",
            )
            yield Finding("file", Level.ERROR, text, remedy)
        log = path.with_name(f"{path.name}-wal")
        size = log.stat().st_size if log.exists() else 0
        shown = f"The write-ahead log has {size:,} bytes"
        if size < LARGE_LOG:
            yield Finding("log", Level.OK, shown)
        else:
            remedy = "End the process that keeps a transaction open"
            yield Finding("log", Level.WARNING, shown, remedy)
