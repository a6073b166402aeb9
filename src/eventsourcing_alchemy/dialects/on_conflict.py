"""INSERT … ON CONFLICT, which PostgreSQL and SQLite have in common."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import Executable, Table

from eventsourcing_alchemy.dialects.base.appending import Appending
from eventsourcing_alchemy.dialects.base.upserts import Upserts
from eventsourcing_alchemy.schema.tables import applications
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.parameters import row


class OnConflictUpserts(Upserts):
    """Inserts or updates a row by one statement."""

    collects_upserts = True
    tells_texts_apart = True
    insert: ClassVar[Any]
    """SQLAlchemy's `insert()` of the database, as a static method."""

    def upsert_statement(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any],
        index_elements: Sequence[str],
    ) -> Executable:
        """INSERT … ON CONFLICT."""
        inserting = self.insert(table).values(values)
        statement: Executable = self.or_update(inserting, set_, index_elements)
        return statement

    def or_update(
        self, inserting: Any, set_: Mapping[str, Any], index_elements: Sequence[str]
    ) -> Any:
        """An INSERT of the database's own, with ON CONFLICT DO UPDATE."""
        key = [inserting.table.c[name] for name in index_elements]
        return inserting.on_conflict_do_update(index_elements=key, set_=set_)


class OnConflictAppending(Appending):
    """Registers applications by one statement."""

    insert: ClassVar[Any]
    """SQLAlchemy's `insert()` of the database, as a static method."""

    def register(self, executor: Executor, name: str) -> None:
        """Needs no savepoint, which would begin a transaction of SQLAlchemy's.

        So it works within one of our own, and where each statement is a transaction.
        """
        executor.execute(_register_statement(self.insert), {"name_": name})


@cache
def _register_statement(insert: Callable[..., Any]) -> Executable:
    statement: Executable = (
        insert(applications).values(row(applications)).on_conflict_do_nothing()
    )
    return statement
