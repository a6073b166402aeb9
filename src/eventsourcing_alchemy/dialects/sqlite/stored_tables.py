"""Which tables take different texts for equal ones."""

import re
from collections.abc import Collection, Iterator

from sqlalchemy import Connection, bindparam, text

from eventsourcing_alchemy.dialects.base.stored_tables import StoredTables

_TABLES = text(
    "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name IN :tables "
    "ORDER BY name"
).bindparams(bindparam("tables", expanding=True))

_COLLATION = re.compile(r"\bCOLLATE\s+[\"'`\[]?(\w+)", re.IGNORECASE)


class SQLiteStoredTables(StoredTables):
    """Columns may have a collation, which no pragma tells."""

    describes_columns = True

    def unsafe_tables(
        self,
        connection: Connection,
        schema: str | None,  # noqa: ARG002
        tables: Collection[str],
    ) -> Iterator[str]:
        """Those with a collation."""
        for name, sql in connection.execute(_TABLES, {"tables": list(tables)}):
            for collation in _COLLATION.findall(sql):
                if collation.upper() != "BINARY":
                    yield f"{name} has the collation {collation}, not BINARY"
