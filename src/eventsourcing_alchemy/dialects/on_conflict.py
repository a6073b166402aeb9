"""INSERT … ON CONFLICT, which PostgreSQL and SQLite have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Executable, Table

from eventsourcing_alchemy.dialects.base import BaseDialect


class OnConflictDialect(BaseDialect):
    """Inserts or updates a row by one statement."""

    collects_upserts = True
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
