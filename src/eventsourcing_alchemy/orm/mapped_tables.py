"""Mapped classes whose objects are rows of one table, and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    DefaultClause,
    Dialect,
    Executable,
    Table,
    bindparam,
    insert,
    update,
)
from sqlalchemy.orm import ColumnProperty, Mapper, SynonymProperty
from sqlalchemy.orm.attributes import instance_state

from eventsourcing_alchemy.dialects.lookup import dialect_beside
from eventsourcing_alchemy.orm.exact_values import is_exact, is_text
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.upserts.plans import Plan
from eventsourcing_alchemy.upserts.targets import Schemas, kept, target_of

Key = Any
"""What an identity map has an object by."""

Values = Mapping[str, Any]
"""By the keys of attributes."""

_EVENTS_OF_MAPPER = "before_insert", "after_insert", "before_update", "after_update"
_EVENTS_OF_CLASS = "load", "refresh", "refresh_flush", "expire"


class MappedTable:
    """A class of which each attribute is a column of one table.

    Attributes:
        table: to which it is mapped.
        primary_key: keys of its attributes.
        may_equate_keys: whether to the database, two keys may be the same that are not.

    Args:
        mapper: of the class.
        dialect: of the engine.
        schemas: the `schema_translate_map`.
    """

    def __init__(self, mapper: Mapper[Any], dialect: Dialect, schemas: Schemas) -> None:
        self._mapper = mapper
        self._dialect = dialect
        self._schemas = schemas
        self._columns = {each.key: each.columns[0] for each in mapper.column_attrs}
        self._is_dataclass = is_dataclass(mapper.class_)
        self.table: Table = mapper.local_table  # type: ignore[assignment]
        self.target = target_of(self.table, dialect, schemas)
        self.primary_key = [
            mapper.get_property_by_column(each).key for each in mapper.primary_key
        ]
        self.may_equate_keys = any(map(self._may_equate, mapper.primary_key))

    @staticmethod
    def is_possible(mapper: Mapper[Any]) -> bool:
        """Whether a class is of this kind, and nobody hears what its objects do."""
        return (
            isinstance(mapper.local_table, Table)
            # What is tracked may wait while others are read.
            and mapper.local_table.name not in tables.metadata.tables
            and mapper.persist_selectable is mapper.local_table
            # Others may have defaults.
            and len(mapper.columns) == len(mapper.local_table.columns)
            and mapper.polymorphic_on is None
            and len(list(mapper.base_mapper.self_and_descendants)) == 1
            and mapper.version_id_col is None
            and not mapper.always_refresh
            and all(map(_is_plain, mapper.attrs))
            and not _is_heard(mapper)
        )

    def insertion(self, instance: object) -> Values | None:
        """What INSERT writes for a new object, None if only the database knows."""
        given = vars(instance)
        values: dict[str, Any] = {}
        for key, column in self._columns.items():
            value = given.get(key)
            if value is None and (default := column.default) is not None:
                value = default.arg if default.is_scalar else None
            is_left_out = value is None and (
                not column.nullable
                or column.default is not None
                or column.server_default is not None
                or (self._is_dataclass and key not in given)
            )
            if is_left_out or hasattr(value, "__clause_element__"):
                return None
            values[key] = value
        return values

    def change(self, instance: object) -> Values | None:
        """What UPDATE sets for a changed object, None if only the database knows."""
        before: Mapping[str, Any] = instance_state(instance).committed_state
        given, manager = vars(instance), self._mapper.class_manager
        values = {}
        for key, old in before.items():
            if key not in self._columns or key not in given:
                return None
            value = given[key]
            if hasattr(value, "__clause_element__"):
                return None
            if manager[key].impl.is_equal(value, old) is not True:
                values[key] = value
        return None if values.keys() & self.primary_key else values

    def exact(self, given: Values) -> Values | None:
        """The values of an object as a query gives them, None if it may give others."""
        columns = self._columns.items()
        if all(
            key in given and is_exact(column.type, given[key], self._dialect)
            for key, column in columns
        ):
            return {key: given[key] for key in self._columns}
        return None

    def has_exact_key(self, identity: Sequence[Any]) -> bool:
        """Whether values of a primary key are what a query gives."""
        columns = self._mapper.primary_key
        return len(identity) == len(columns) and all(
            value is not None and is_exact(column.type, value, self._dialect)
            for column, value in zip(columns, identity, strict=True)
        )

    def order(self, instance: object) -> Any:
        """Where the unit of work has an object among others that it updates."""
        return self._mapper._persistent_sortkey_fn(  # noqa: SLF001
            instance_state(instance)
        )

    def _may_equate(self, column: ColumnElement[Any]) -> bool:
        collation = getattr(column.type, "collation", None)
        return is_text(column.type, self._dialect) and (
            collation is not None or not dialect_beside(self._dialect).tells_texts_apart
        )

    def insert(self, keys: tuple[str, ...]) -> Plan:
        """How to insert rows with values of some attributes."""
        return self._plan("INSERT", keys, self._insert)

    def update(self, keys: tuple[str, ...]) -> Plan:
        """How to set some attributes; the values of the key come last."""
        return self._plan("UPDATE", keys, self._update)

    def _insert(self, keys: tuple[str, ...]) -> tuple[Executable, int]:
        values = self._parameters(keys)
        return insert(self.table).values(values), len(values)

    def _update(self, keys: tuple[str, ...]) -> tuple[Executable, int]:
        values = self._parameters(keys)
        identity = [
            column == _parameter(number, column)
            for number, column in enumerate(self._mapper.primary_key, len(values))
        ]
        statement = update(self.table).where(*identity).values(values)
        return statement, len(values) + len(identity)

    def _parameters(self, keys: tuple[str, ...]) -> dict[Any, Any]:
        columns = [self._columns[key] for key in keys]
        return {each: _parameter(number, each) for number, each in enumerate(columns)}

    def _plan(
        self,
        kind: str,
        keys: tuple[str, ...],
        statement: Callable[[tuple[str, ...]], tuple[Executable, int]],
    ) -> Plan:
        key = (self._mapper, kind, self._dialect, *self._schemas.items(), *keys)
        return kept(self.table, key, lambda: self._compiled(*statement(keys)))

    def _compiled(self, statement: Executable, count: int) -> Plan:
        return Plan(
            Compiled(statement, self._dialect, self._schemas.get(None)),
            tuple(_name(number) for number in range(count)),
            self.target,
            is_independent=True,
            is_collected=True,
            tracked=None,
        )


def _name(number: int) -> str:
    return f"es_{number}"


def _parameter(number: int, column: Any) -> Any:
    return bindparam(_name(number), type_=column.type)


def _is_plain(attribute: Any) -> bool:
    """Whether an attribute is a column, which Python gives all its values."""
    if isinstance(attribute, SynonymProperty):
        return True
    if not isinstance(attribute, ColumnProperty) or attribute.deferred:
        return False
    column = attribute.columns[0]
    return (
        len(attribute.columns) == 1
        and isinstance(column, Column)
        and column.onupdate is None
        and column.server_onupdate is None
        # Others may be generated, and anew by each UPDATE.
        and isinstance(column.server_default, DefaultClause | None)
        and not column.type.should_evaluate_none
        and column.type.bind_expression(bindparam(None)) is None
        and column.type.column_expression(column) is None
    )


def _is_heard(mapper: Mapper[Any]) -> bool:
    of_mapper: Any = mapper.dispatch
    of_class: Any = mapper.class_manager.dispatch
    return any(getattr(of_mapper, name) for name in _EVENTS_OF_MAPPER) or any(
        getattr(of_class, name) for name in _EVENTS_OF_CLASS
    )
