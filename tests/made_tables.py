"""Databases that have our tables, without rows.

To run the migrations takes longer than most tests. So the statements that they execute
are noted once, a file is copied, and a database of a server is used again, if the test
has changed nothing but rows, and tables of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, make_url

from backends import Backend, Server, SQLiteFile
from emptying import Emptying, emptying
from eventsourcing_alchemy.schema.migrate import upgrade
from roles import connected

_CHANGES = ("ALTER", "CREATE", "INSERT", "UPDATE")

_executed: dict[str, str] = {}
"""By dialect and driver, the statements, with this for the name of the database."""

_NAME = "name_of_the_database"

_files: dict[str, bytes] = {}
"""By dialect and driver, a file with our tables."""

_kept: dict[str, list[Server]] = {}
"""By name of the kind, databases for the next test."""

_emptyings: dict[str, Emptying] = {}
"""By URL of the database."""


def fresh(kind: Backend, directory: Path) -> Backend:
    """A database with our tables, in the directory if it is a file."""
    if kept := _kept.get(kind.name):
        return kept.pop()
    made = kind.fresh(directory)
    if isinstance(made, SQLiteFile):
        _copy_file(made)
    else:
        _make_tables(made.url)
    if isinstance(made, Server):
        _emptyings[made.url] = emptying(made)
    return made


def keep(database: Backend) -> bool:
    """Empty it for another test that asks for such a database, if that can be done."""
    if not isinstance(database, Server) or not _emptyings[database.url].is_done():
        return False
    _kept.setdefault(database.name, []).append(database)
    return True


def finish() -> None:
    """Drop what was kept."""
    for databases in _kept.values():
        for each in databases:
            each.discard(reusable=False)


def _copy_file(database: Backend) -> None:
    url = make_url(database.url)
    path = Path(url.database or "")
    if url.drivername not in _files:
        _make_tables(database.url)
        _files[url.drivername] = path.read_bytes()
    path.write_bytes(_files[url.drivername])


def _make_tables(url: str) -> None:
    kind, name = make_url(url).drivername, make_url(url).database or ""
    with connected(url) as connection:
        if kind in _executed:
            _execute(connection, _executed[kind].replace(_NAME, name))
        else:
            script = ";\n".join(_migrate(connection))
            _executed[kind] = re.sub(rf"\b{re.escape(name)}\b", _NAME, script)


def _migrate(connection: Connection) -> list[str]:
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(_CHANGES):
            executed.append(statement)

    event.listen(connection, "after_cursor_execute", note)
    upgrade(connection, None)
    return executed


def _execute(connection: Connection, script: str) -> None:
    as_they_are = connection.execution_options(no_parameters=True)
    for statement in script.split(";\n"):
        as_they_are.exec_driver_sql(statement)
