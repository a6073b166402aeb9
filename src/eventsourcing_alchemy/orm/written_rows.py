"""Rows that sessions have written in the transaction of a batch."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper, Session

from eventsourcing_alchemy.orm.mapped_tables import Key, MappedTable, Values
from eventsourcing_alchemy.upserts.buffer import UpsertBuffer
from eventsourcing_alchemy.upserts.plans import SCHEMAS, Plan

MOST_KNOWN = 10_000
"""Rows that are known: a single event may write many."""


class WrittenRows:
    """Rows that sessions have written in the transaction of a batch.

    Nobody else can change them before it ends. So their values are known, until
    something else is executed in the transaction, and so is that an UPDATE will find
    them: it waits for others of its kind. The values are those that were read and
    written since then, whatever else an object has kept that was read before.

    Args:
        buffer: has statements wait.
    """

    def __init__(self, buffer: UpsertBuffer) -> None:
        self._buffer = buffer
        self._tables: dict[Mapper[Any], MappedTable | None] = {}
        self._rows: dict[Key, Values | None] = {}
        self._written: set[Key] = set()
        self._waiting: set[Key] = set()
        self._may_others_wait = True
        self._schemas: Any = None
        self._is_heard: bool | None = None

    def begin(self, connection: Connection) -> None:
        """Begins a session, perhaps of a view whose tables are in another schema."""
        schemas = connection.get_execution_options().get(SCHEMAS) or {}
        if schemas != self._schemas or len(self._rows) > MOST_KNOWN:
            self.forget()
            self._tables.clear()
            self._schemas = schemas

    def is_heard(self, session: Session) -> bool:
        """Whether somebody listens to what sessions do, as the batch begins.

        Or to statements of Core, of which there would be fewer.
        """
        if self._is_heard is None:
            of_core: Any = self._buffer.connection.dispatch
            self._is_heard = is_heard(session) or bool(
                of_core.before_execute or of_core.after_execute
            )
        return self._is_heard

    def forget(self) -> None:
        """Knows nothing any more: something may have written to the same rows."""
        self._rows.clear()
        self._written.clear()
        self._waiting.clear()
        self._may_others_wait = True

    def table_of(self, mapper: Mapper[Any]) -> MappedTable | None:
        """What a class is mapped to, None if its rows cannot be known."""
        if mapper not in self._tables:
            self._tables[mapper] = self._made(mapper)
        table = self._tables[mapper]
        is_blind = table is not None and self._buffer.is_blind(table.target)
        return table if is_blind else None

    def _made(self, mapper: Mapper[Any]) -> MappedTable | None:
        if self._forget_others_of(mapper):
            return None
        # SQLAlchemy itself adds "_none" for None.
        if self._schemas.keys() - {None, "_none"} or not MappedTable.is_possible(
            mapper
        ):
            return None
        return MappedTable(mapper, self._buffer.connection.dialect, self._schemas)

    def _forget_others_of(self, mapper: Mapper[Any]) -> bool:
        """Whether other classes are mapped to the same table, by keys of their own."""
        name = _name(mapper)
        others = [each for each in self._tables if name and _name(each) == name]
        self._tables.update(dict.fromkeys(others))
        if others:
            self.forget()
        return bool(others)

    def values_of(self, key: Key) -> Values | None:
        """The values of a row, by keys of attributes; None if they are not known."""
        return self._rows.get(key) if key in self._written else None

    def read_or_written(self, key: Key) -> Values | None:
        """As `values_of()`, but others may have changed it since it was read."""
        return self._rows.get(key)

    def reading(self, table: MappedTable, key: Key) -> AbstractContextManager[None]:
        """What to hold while one row is read, which may be one of those written."""
        if (
            self._may_others_wait
            or key in self._waiting
            or (table.may_equate_keys and self._waiting)
        ):
            self.execute_waiting()
        return self._buffer.busy()

    def writing(self) -> AbstractContextManager[None]:
        """What to hold while such rows are written, after those that wait."""
        self.execute_waiting()
        return self._buffer.busy()

    def execute_waiting(self) -> None:
        """Executes what waits, and knows the rows on."""
        self._buffer.flush_rows()
        self._waiting.clear()
        self._may_others_wait = False

    def remember_read(self, key: Key, values: Values | None) -> None:
        """Takes note of a row that was read, for the time when it is written.

        Args:
            key: of an identity map.
            values: of the row, None if a query may give others.
        """
        self._rows[key] = values

    def remember(self, key: Key, values: Values | None) -> None:
        """Takes note of a row that was written.

        Args:
            key: of an identity map.
            values: as those of `remember_read()`.
        """
        self._rows[key] = values
        self._written.add(key)

    def has_written(self, key: Key) -> bool:
        """Whether a row was written before, so that nobody else can change it."""
        return key in self._written

    def collect(self, statements: Mapping[Key, tuple[Plan, Any]]) -> bool:
        """Has statements wait, all or none; False if they cannot."""
        if not self._buffer.collect([*statements.values()]):
            return False
        self._waiting.update(statements)
        return True


def _name(mapper: Mapper[Any]) -> str | None:
    name = getattr(mapper.local_table, "name", None)
    return name and name.lower()


_PACKAGE = __name__.partition(".")[0]


def is_heard(session: Session) -> bool:
    """Whether somebody else than this package listens to what a session does."""
    events: Any = session.dispatch
    names: Iterable[str] = events._event_names  # noqa: SLF001
    listeners = (each for name in names for each in getattr(events, name))
    return any(not _is_ours(each) for each in listeners)


def _is_ours(listener: object) -> bool:
    module = getattr(listener, "__module__", None) or ""
    return module.partition(".")[0] == _PACKAGE
