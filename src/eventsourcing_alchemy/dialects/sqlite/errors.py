"""What the errors of SQLite mean."""

import sqlite3

from eventsourcing_alchemy.dialects.base.errors import Errors
from eventsourcing_alchemy.resilience.error_classification import ErrorKind

_KINDS = {
    sqlite3.SQLITE_BUSY: ErrorKind.CONFLICT,
    sqlite3.SQLITE_LOCKED: ErrorKind.CONFLICT,
    sqlite3.SQLITE_FULL: ErrorKind.SHORTAGE,
    sqlite3.SQLITE_IOERR: ErrorKind.SHORTAGE,
    sqlite3.SQLITE_NOMEM: ErrorKind.SHORTAGE,
    sqlite3.SQLITE_CANTOPEN: ErrorKind.REFUSED,
    sqlite3.SQLITE_NOTADB: ErrorKind.REFUSED,
    sqlite3.SQLITE_PERM: ErrorKind.REFUSED,
    sqlite3.SQLITE_READONLY: ErrorKind.REFUSED,
}


class SQLiteErrors(Errors):
    """By the result code."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """By the primary result code, which is the low byte of the extended one."""
        code = primary_code(error)
        if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "):
            return ErrorKind.REFUSED
        return _KINDS.get(code, ErrorKind.LASTING)

    def error_kind_of_statement(self, error: BaseException) -> ErrorKind:
        """The same, of an error that a statement has met."""
        return self.error_kind(error)


def primary_code(error: BaseException) -> int:
    """The primary result code of an error, 0 if it has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
