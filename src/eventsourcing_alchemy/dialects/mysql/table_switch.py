"""Tables that are replaced by one RENAME TABLE."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from sqlalchemy import Connection, ForeignKeyConstraint, Table, bindparam, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import AddConstraint

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    SwitchedTable,
    TableSwitch,
    declared_name,
    quoted,
)
from eventsourcing_alchemy.host import ProgrammingError

LOCK_WAIT = 1
"""Seconds to wait until nobody uses the tables; meanwhile others wait, too."""

_REFERRED_TO = (1451, 3730)
"""Errors of tables to which foreign keys refer."""

_VIEWS = text("""
    SELECT concat('view ', table_schema, '.', table_name)
    FROM information_schema.views
    WHERE locate(concat(
        '`', replace(coalesce(:schema, database()), '`', '``'), '`.',
        '`', replace(:table, '`', '``'), '`'
    ), view_definition) > 0
""")
_TRIGGERS = text("""
    SELECT concat('trigger ', trigger_name) FROM information_schema.triggers
    WHERE event_object_schema = coalesce(:schema, database())
    AND event_object_table = :table
""")
_FOREIGN_KEYS = text("""
    SELECT DISTINCT concat('foreign key ', constraint_name, ' of table ', table_name)
    FROM information_schema.key_column_usage
    WHERE referenced_table_schema = coalesce(:schema, database())
    AND referenced_table_name = :table AND table_name NOT IN :tables
""").bindparams(bindparam("tables", expanding=True))
_RIGHTS = text("""
    SELECT privilege_type FROM information_schema.user_privileges
    WHERE grantee = :grantee
    UNION SELECT privilege_type FROM information_schema.schema_privileges
    WHERE grantee = :grantee AND coalesce(:schema, database()) LIKE table_schema
""")
_NEEDED_OF_OURS = ["DELETE", "INSERT", "SELECT", "UPDATE"]
_NEEDED = [*_NEEDED_OF_OURS, "ALTER", "CREATE", "DROP", "INDEX", "REFERENCES"]


class MySQLTableSwitch(TableSwitch):
    """DDL commits, so what may be done in steps comes after the one that counts."""

    switches_tables = True
    switches_in_transaction = False
    # Not sequences: defaults name them, which a renaming would not change. Both share.
    shared_names: ClassVar[Collection[str]] = ("foreign_key_constraint",)

    def dependents(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> Sequence[str]:
        """Views, triggers, and foreign keys of other tables."""
        found = [*_foreign_keys_of_others(connection, tables)]
        for schema, name in tables:
            parameters = {"schema": schema, "table": name}
            found += connection.scalars(_VIEWS, parameters).all()
            found += connection.scalars(_TRIGGERS, parameters).all()
        return found

    def missing_rights(
        self,
        connection: Connection,
        tables: Sequence[tuple[str | None, str]],
        ours: Sequence[tuple[str | None, str]],
    ) -> Sequence[str]:
        """Rights on the databases that they are in.

        Those of a role, or of PUBLIC, are not looked for: who has one is not refused.
        """
        user, _, host = str(
            connection.scalar(text("SELECT current_user()"))
        ).rpartition("@")
        needed = dict.fromkeys({schema for schema, _ in ours}, _NEEDED_OF_OURS)
        needed |= dict.fromkeys({schema for schema, _ in tables}, _NEEDED)
        return [
            f"{right} on the database {schema or connection.engine.url.database}"
            for schema, rights in needed.items()
            for right in _missing(connection, f"'{user}'@'{host}'", schema, rights)
        ]

    def drop_tables(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """In whatever order."""
        with _without_foreign_keys(connection):
            super().drop_tables(connection, tables)

    def empty_tables(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Without foreign keys where no order would do: each row is checked by itself.

        Raises:
            ProgrammingError: if those of other tables would not be checked either.
        """
        if not _is_circular(tables):
            super().empty_tables(connection, tables)
            return
        options = connection.get_execution_options()
        schemas = options.get("schema_translate_map") or {}
        places = [(schemas.get(each.schema, each.schema), each.name) for each in tables]
        if found := _foreign_keys_of_others(connection, places):
            msg = (
                "Tables that refer to themselves, or to each other, cannot be emptied "
                f"while others refer to them: {', '.join(found)}. Drop the foreign "
                "keys, delete the rows, and create the foreign keys again"
            )
            raise ProgrammingError(msg)
        with _without_foreign_keys(connection):
            super().empty_tables(connection, tables)

    def limit_lock_waits(self, connection: Connection, *, waits: bool) -> None:
        """Locks of metadata, which readers have until the end of a transaction."""
        seconds = LOCK_WAIT if waits else 0  # MySQL takes 1 for 0.
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}")

    def switch(self, connection: Connection, switch: Switch) -> None:
        """All by one statement."""
        renames = [
            *_renames(connection, [(t, t.table.name, t.old) for t in switch.present]),
            *_renames(connection, [(t, t.new, t.table.name) for t in switch.tables]),
        ]
        connection.exec_driver_sql(f"RENAME TABLE {', '.join(renames)}")

    def finish_switch(self, connection: Connection, switch: Switch) -> None:
        """Drops what was replaced, and gives foreign keys their names."""
        old = [(each.schema, each.old) for each in switch.tables]
        with _without_foreign_keys(connection):
            for schema, name in old:
                if inspect(connection).has_table(name, schema):
                    _drop_foreign_keys(connection, schema, name)
            for each in switch.tables:
                for key in each.table.foreign_key_constraints:
                    _rename_foreign_key(connection, switch, each, key)
        if not switch.keeps_old:
            self._drop_replaced(connection, old)

    def _drop_replaced(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """If nothing hangs on them: what did was renamed with them.

        Raises:
            ProgrammingError: names what does.
        """
        found = self.dependents(connection, tables)
        try:
            if not found:
                # With foreign keys: the role may not see those of other databases.
                super().drop_tables(connection, tables)
                return
        except DBAPIError as error:
            if not _is_referred_to(error):
                raise
            found = [str(error.orig)]
        msg = (
            "The rebuilt tables are in use, but the old ones cannot be dropped, "
            f"because something depends on them: {', '.join(found)}. Drop it, rebuild "
            "again to drop the old tables, and create it again"
        )
        raise ProgrammingError(msg)


def _is_referred_to(error: DBAPIError) -> bool:
    """Whether a foreign key of another table is in the way."""
    arguments: Sequence[Any] = getattr(error.orig, "args", ())
    return bool(arguments) and arguments[0] in _REFERRED_TO


def _foreign_keys_of_others(
    connection: Connection, tables: Sequence[tuple[str | None, str]]
) -> Sequence[str]:
    """Of tables that are none of these, but refer to them."""
    names = [name for _, name in tables]
    return [
        found
        for schema, name in tables
        for found in connection.scalars(
            _FOREIGN_KEYS, {"schema": schema, "table": name, "tables": names}
        )
    ]


def _is_circular(tables: Sequence[Table]) -> bool:
    """Whether one refers to itself, or to one that is before it."""
    emptied: set[Table] = set()
    for table in tables:
        emptied.add(table)
        referred = {key.referred_table for key in table.foreign_key_constraints}
        if not emptied.isdisjoint(referred):
            return True
    return False


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("SET SESSION foreign_key_checks = 0")
    try:
        yield
    finally:
        connection.exec_driver_sql("SET SESSION foreign_key_checks = 1")


def _missing(
    connection: Connection, grantee: str, schema: str | None, needed: Sequence[str]
) -> Sequence[str]:
    parameters = {"grantee": grantee, "schema": schema}
    granted = set(connection.scalars(_RIGHTS, parameters))
    return [right for right in needed if right not in granted]


def _renames(
    connection: Connection, tables: Sequence[tuple[SwitchedTable, str, str]]
) -> Iterator[str]:
    for each, name, other in tables:
        before = quoted(connection, each.schema, name)
        yield f"{before} TO {quoted(connection, each.schema, other)}"


def _foreign_keys(
    connection: Connection, schema: str | None, table: str
) -> Collection[str]:
    keys = inspect(connection).get_foreign_keys(table, schema)
    return [str(key["name"]) for key in keys]


def _drop_foreign_keys(connection: Connection, schema: str | None, table: str) -> None:
    name = quoted(connection, schema, table)
    for key in _foreign_keys(connection, schema, table):
        dropped = f"DROP FOREIGN KEY {quoted(connection, None, key)}"
        connection.exec_driver_sql(f"ALTER TABLE {name} {dropped}")


def _rename_foreign_key(
    connection: Connection,
    switch: Switch,
    each: SwitchedTable,
    key: ForeignKeyConstraint,
) -> None:
    """By another one in its place, which is not checked again."""
    name = declared_name(switch.dialect, key)
    if name is None:  # It is named after the table by the server.
        return
    table, new = quoted(connection, each.schema, each.table.name), switch.new(name)
    present = _foreign_keys(connection, each.schema, each.table.name)
    if new in present:
        dropped = f"DROP FOREIGN KEY {quoted(connection, None, new)}"
        added = str(
            AddConstraint(key, isolate_from_table=False).compile(
                dialect=switch.dialect,
                schema_translate_map=switch.schemas or None,
            )
        )
        _, _, action = added.partition(" ADD ")
        connection.exec_driver_sql(f"ALTER TABLE {table} {dropped}, ADD {action}")
    # The server has made an index of that name, unless there was another one.
    indexes = inspect(connection).get_indexes(each.table.name, each.schema)
    if any(index["name"] == new for index in indexes):
        renamed = f"{quoted(connection, None, new)} TO {quoted(connection, None, name)}"
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME INDEX {renamed}")
