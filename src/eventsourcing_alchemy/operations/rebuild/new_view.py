"""The view that is built beside the one in use: its tables have other names."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b

from sqlalchemy import Connection, MetaData, select
from sqlalchemy.schema import CreateIndex, CreateTable, DropSequence
from sqlalchemy.schema import Sequence as DeclaredSequence

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dialects.base.table_switch import Switch, SwitchedTable
from eventsourcing_alchemy.operations.rebuild.other_names import (
    OtherNames,
    other_name,
)
from eventsourcing_alchemy.operations.rebuild.renaming import renamed
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.schema.namespaces import default_schema
from eventsourcing_alchemy.schema.validation import LONGEST_NAME
from eventsourcing_alchemy.upserts.plans import SCHEMAS

_REBUILD = " (rebuild)"


def name_while_built(name: str) -> str:
    """The name under which a projection is built again."""
    return other_name(name, _REBUILD, LONGEST_NAME)


def is_name_while_built(name: str) -> bool:
    """Whether it is the name of a projection that is built again."""
    return name.endswith(_REBUILD)


class NewView:
    """A view of the same class, with tables and a position of its own.

    Args:
        in_use: the one that it is to replace.
    """

    def __init__(self, in_use: ViewInUse) -> None:
        recorder = in_use.recorder
        self._plain = recorder.datastore.engine.dialect
        self.metadata: MetaData = in_use.view_class.metadata or MetaData()
        self.names = OtherNames(self.metadata, self._plain)
        settings = replace(
            recorder.datastore.settings,
            engine=renamed(recorder.datastore.engine, self.names),
            engine_topic=None,
            scoped_session_topic=None,
        )
        self.datastore = SQLAlchemyDatastore(settings)
        self.view = in_use.view_class(self.datastore, name_while_built(recorder.name))
        self.schema = self.datastore.schema or in_use.found(default_schema)

    @cached_property
    def tables(self) -> Sequence[SwitchedTable]:
        """Those that others refer to first."""
        return [
            SwitchedTable(
                table,
                self.datastore.schema_of(table) or self.schema,
                self.names.new(table.name),
                self.names.old(table.name),
            )
            for table in self.metadata.sorted_tables
        ]

    @cached_property
    def sequences(self) -> Sequence[tuple[str | None, str]]:
        """Schema and name of each that is replaced with the tables."""
        schemas = self.datastore.schemas
        return [
            (schemas.get(schema, schema) or self.schema, name)
            for name, schema in sorted(self.names.sequences.items())
        ]

    @property
    def replaced(self) -> Sequence[tuple[str | None, str]]:
        """Schema and name of each table, and sequence, that is in use."""
        tables = [(each.schema, each.table.name) for each in self.tables]
        return [*tables, *self.sequences]

    @cached_property
    def declaration(self) -> str:
        """A digest of all that is declared, to tell if it has changed."""
        dialect = self.datastore.engine.dialect
        statements: list[str] = []
        for table in self.metadata.sorted_tables:
            indexes = [
                CreateIndex(each).compile(dialect=dialect) for each in table.indexes
            ]
            statements.append(str(CreateTable(table).compile(dialect=dialect)))
            statements += sorted(map(str, indexes))
        return blake2b("\n".join(statements).encode(), digest_size=16).hexdigest()

    def switch(self, connection: Connection, *, keeps_old: bool) -> Switch:
        """What is to be done to put its tables in the place of those in use."""
        return Switch(
            tables=self.tables,
            present=[each for each in self.tables if self._is_there(connection, each)],
            sequences=self.sequences,
            new=self.names.new,
            old=self.names.old,
            dialect=self._plain,
            keeps_old=keeps_old,
        )

    def _is_there(self, connection: Connection, each: SwitchedTable) -> bool:
        return self._plain.has_table(connection, each.table.name, each.schema)

    def is_complete(self) -> bool:
        """Whether all of its tables are there, under their other names."""
        with self.datastore.reading() as connection:
            return all(
                self._plain.has_table(connection, each.new, each.schema)
                for each in self.tables
            )

    def is_switched(self, connection: Connection) -> bool:
        """Whether its tables have replaced others, which are still there."""
        has_table = self._plain.has_table
        return any(
            has_table(connection, each.old, each.schema) for each in self.tables
        ) and not any(
            has_table(connection, each.new, each.schema) for each in self.tables
        )

    def create(self, connection: Connection) -> None:
        """Creates its tables."""
        self.view.create_own_tables(connection)

    def drop(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """Drops tables of a former rebuild, and sequences."""
        self.datastore.dialect.drop_tables(connection, tables)
        for schema, name in self.sequences:
            sequence = DeclaredSequence(self.names.new(name), schema=schema)
            if self._plain.has_sequence(connection, sequence.name, schema):
                connection.execute(DropSequence(sequence))

    def empty_but_used(self, in_use: SQLAlchemyDatastore) -> Sequence[str]:
        """Names of tables that have no row, while those in use have."""
        with self.datastore.reading() as new, in_use.reading() as old:
            switch = self.switch(old, keeps_old=False)
            return [
                each.table.fullname
                for each in switch.present
                if not _has_rows(new, each, self) and _has_rows(old, each, self)
            ]


def _has_rows(connection: Connection, each: SwitchedTable, view: NewView) -> bool:
    query = select(1).select_from(each.table).limit(1)
    options = {SCHEMAS: {**view.datastore.schemas, None: view.schema}}
    return connection.execute(query, execution_options=options).first() is not None
