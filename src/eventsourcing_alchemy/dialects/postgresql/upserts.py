"""INSERT … ON CONFLICT, also together with the tracking."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Json, Jsonb
from sqlalchemy import (
    Table,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.selectable import Select

from eventsourcing_alchemy.dialects.on_conflict import OnConflictUpserts
from eventsourcing_alchemy.dialects.postgresql.drivers import is_of_psycopg
from eventsourcing_alchemy.statements.tracking import advance_tracking


class PostgreSQLUpserts(OnConflictUpserts):
    """INSERT … ON CONFLICT, also together with the tracking."""

    insert = staticmethod(insert)

    def tracked_upsert_statement(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any],
        index_elements: Sequence[str],
    ) -> Select[Any]:
        """One statement, which saves three round trips.

        Rivals wait for the row of the tracking. Then either the row is where they need
        it, or they find none. Of the row to update, ON CONFLICT finds the newest state.
        """
        advanced = (
            advance_tracking()
            .returning(literal_column("1").label("found"))
            .cte("es_advanced")
        )
        inserting = self.insert(table).from_select(
            [table.c[name] for name in values],
            select(*values.values()).select_from(advanced),
            include_defaults=False,
        )
        upserted = self.or_update(inserting, set_, index_elements).cte("es_upserted")
        return select(advanced.c.found).add_cte(upserted)

    def frozen(self, value: Any, driver_connection: Any) -> Any:
        """Also of psycopg's wrappers, which keep the original until they are sent."""
        if isinstance(value, psycopg.Binary):
            return psycopg.Binary(bytes(value.obj))
        if isinstance(value, Json | Jsonb) and is_of_psycopg(driver_connection):
            dumper = Transformer(driver_connection).get_dumper(value, PyFormat.TEXT)
            return type(value)(dumper.dump(value), _as_it_is)
        return super().frozen(value, driver_connection)


def _as_it_is(text: Any) -> Any:
    return text
