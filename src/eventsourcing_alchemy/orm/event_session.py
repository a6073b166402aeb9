"""A session for one event of a batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Mapper, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from eventsourcing_alchemy.orm.flushing import Flush
from eventsourcing_alchemy.orm.mapped_tables import Key, MappedTable, Values
from eventsourcing_alchemy.orm.written_rows import WrittenRows, is_heard
from eventsourcing_alchemy.upserts.buffer import UpsertBuffer
from eventsourcing_alchemy.upserts.buffered_connection import buffer_of


class SavepointNeededError(Exception):
    """A session was rolled back, which had no savepoint."""


class EventSession(Session):
    """A session for one event of a batch, without a savepoint.

    It knows rows that others have written in the batch, and has what it writes wait
    where nobody can tell. To its user it is a session like any other, but that nothing
    can be rolled back: then the whole batch is, and each event gets a savepoint.

    Args:
        connection: in the transaction of the batch.
        buffer: that of the connection.
        rows: that were written in the batch.
    """

    def __init__(
        self, connection: Connection, buffer: UpsertBuffer, rows: WrittenRows
    ) -> None:
        super().__init__(connection, join_transaction_mode="rollback_only")
        self._buffer = buffer
        self._rows = rows
        self._is_over = False

    def get(self, entity: Any, ident: Any, **options: Any) -> Any:
        """As in every session."""
        return self._got(super().get, entity, ident, options)

    def get_one(self, entity: Any, ident: Any, **options: Any) -> Any:
        """As in every session."""
        return self._got(super().get_one, entity, ident, options)

    def _got(
        self, get: Callable[..., Any], entity: Any, ident: Any, options: dict[str, Any]
    ) -> Any:
        table, key = self._found(entity, ident)
        if options or table is None or key in self.identity_map:
            return get(entity, ident, **options)
        self._flush_before_reading(is_known=self._rows.values_of(key) is not None)
        # The flush may have made it known, or unknown.
        values = self._rows.values_of(key)
        if values is not None and key not in self.identity_map:
            return self._known(key[0], values)
        with self._rows.reading(table, key):
            found = get(entity, ident)
        if found is None:
            return None
        if instance_state(found).key == key:
            self._rows.remember_read(key, table.exact(vars(found)))
        else:
            # To the database, another key is the same: that of a row which waits.
            self._rows.execute_waiting()
            self.refresh(found)
        return found

    def _found(self, entity: Any, ident: Any) -> tuple[MappedTable | None, Key]:
        mapper = inspect(entity, raiseerr=False)
        table = self._rows.table_of(mapper) if isinstance(mapper, Mapper) else None
        values = ident if isinstance(ident, tuple | list) else (ident,)
        if table is None or self._is_nested or not table.has_exact_key(values):
            return None, None
        return table, mapper.identity_key_from_primary_key(tuple(values))

    def _flush_before_reading(self, *, is_known: bool) -> None:
        """Flushes as a query does, or what could be told that it is not flushed."""
        if not self.autoflush:
            return
        flush = Flush.of(self, self._rows) if is_known and not self.new else None
        if flush is None or not flush.can_wait():
            self.flush()

    def _known(self, of_class: type, values: Values) -> object:
        instance: object = inspect(of_class).class_manager.new_instance()
        for name, value in values.items():
            set_committed_value(instance, name, value)
        make_transient_to_detached(instance)
        self.add(instance)
        return instance

    @property
    def _is_nested(self) -> bool:
        # The savepoint begins with the next statement: what waits comes before it.
        return self.in_nested_transaction()

    def flush(self, objects: Any = None) -> None:
        """As in every session; a failure is one of the batch, even if it is caught."""
        try:
            self._flush_now(objects)
        except Exception as error:
            if not self._is_nested:
                self._fail(error)
            raise

    def _flush_now(self, objects: Any) -> None:
        is_usual = objects is None and not self._is_nested
        flush = Flush.of(self, self._rows) if is_usual else None
        if flush is None:
            super().flush(objects)
            self._rows.forget()
        else:
            flush.execute(super().flush)

    def rollback(self) -> None:
        """Rolls back, for which there is no savepoint."""
        self._refuse_to_undo()
        super().rollback()

    def close(self) -> None:
        """Closes it, and rolls back what is not committed."""
        self._refuse_to_undo()
        super().close()

    def reset(self) -> None:
        """As `close()`."""
        self._refuse_to_undo()
        super().reset()

    def _refuse_to_undo(self) -> None:
        if self.in_transaction() and not self._is_over:
            msg = "A session without a savepoint was rolled back, or closed early"
            self._fail(SavepointNeededError(msg))

    def _fail(self, error: Exception) -> None:
        self._buffer.failure = self._buffer.failure or error

    def end(self) -> None:
        """Commits it, and forgets its objects; what it has written may wait."""
        is_usual = not self._is_nested and not is_heard(self)
        flush = Flush.of(self, self._rows) if is_usual else None
        if flush is not None and flush.wait():
            for instance in flush.new:
                self.expunge(instance)
                make_transient_to_detached(instance)
                self.add(instance)
            self.expire_all()
        else:
            self.commit()

    def abandon(self) -> None:
        """Closes it after its end, or an error."""
        self._is_over = True
        self.close()


class SavepointSession(Session):
    """A session that works in a savepoint, of which recorders are a part, too.

    Args:
        connection: in a transaction.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, join_transaction_mode="create_savepoint")
        self._joined = connection
        self.connection()  # Begins it; otherwise the first statement would.

    def rollback(self) -> None:
        """Rolls back, and begins another savepoint."""
        super().rollback()
        if not self._joined.invalidated:
            self.connection()


@contextmanager
def event_session(connection: Connection) -> Iterator[Session]:
    """A session, which is flushed and committed at the end of the block.

    In a batch, it has no savepoint where it needs none.

    Args:
        connection: is in a transaction.
    """
    session = _in_batch(connection)
    if session is None:
        with SavepointSession(connection) as with_savepoint:
            yield with_savepoint
            with_savepoint.commit()
        return
    try:
        yield session
        session.end()
    finally:
        session.abandon()


def _in_batch(connection: Connection) -> EventSession | None:
    """A session that shares what is known in a batch, None where that could be told."""
    buffer = buffer_of(connection)
    if buffer is None or buffer.is_for_last or connection.in_nested_transaction():
        return None
    if not isinstance(buffer.memory, WrittenRows):
        buffer.memory = WrittenRows(buffer)
    rows = buffer.memory
    rows.begin(connection)
    session = EventSession(connection, buffer, rows)
    if rows.is_heard(session):
        return None
    session.connection()  # As where it has a savepoint, which begins at once.
    return session
