"""Our tables, made by the statements that the migrations executed once.

To run the migrations takes longer than most tests.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, event, make_url

from eventsourcing_alchemy.schema.migrate import upgrade
from roles import connected

_CHANGES = ("ALTER", "CREATE", "INSERT", "UPDATE")

_executed: dict[str, str] = {}
"""By dialect and driver, the statements, with this for the name of the database."""

_NAME = "name_of_the_database"


def make_tables(url: str) -> None:
    """Make them in an empty database."""
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
