"""Our tables, made by the statements that the migrations executed once.

To run the migrations takes longer than most tests.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event

from eventsourcing_alchemy.schema.migrate import upgrade

_CHANGES = ("ALTER", "CREATE", "INSERT", "UPDATE")

_executed: dict[str, str] = {}
"""By dialect and driver, the statements, with this for the name of the database."""

_NAME = "name_of_the_database"


def make_tables(url: str) -> None:
    """Make them in an empty database."""
    engine = create_engine(url, poolclass=NullPool)
    kind = f"{engine.dialect.name}+{engine.dialect.driver}"
    name = re.escape(engine.url.database or "")
    with engine.begin() as connection:
        if kind in _executed:
            _execute(connection, _executed[kind].replace(_NAME, name))
        else:
            script = ";\n".join(_migrate(connection))
            _executed[kind] = re.sub(rf"\b{name}\b", _NAME, script)


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
