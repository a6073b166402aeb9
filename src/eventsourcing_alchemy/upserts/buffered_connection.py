"""Connections that have a buffer, for the time of a batch, or of an event."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

from sqlalchemy import Connection, Engine, PoolProxiedConnection, event

from eventsourcing_alchemy.upserts.buffer import UpsertBuffer, Waiting


class BufferedConnection(Connection):
    """A connection with a buffer, which the driver's own cursors find empty."""

    buffer: UpsertBuffer

    @property
    def connection(self) -> PoolProxiedConnection:
        """The driver's connection."""
        self.buffer.hand_out()
        return super().connection


def buffer_of(connection: Connection) -> UpsertBuffer | None:
    """What has upserts of a connection wait, if something does."""
    return connection.buffer if isinstance(connection, BufferedConnection) else None


def flushed(connection: Connection) -> AbstractContextManager[None]:
    """Executes what waits, before statements of our own in the block.

    Args:
        connection: any.
    """
    buffer = buffer_of(connection)
    if buffer is None:
        return nullcontext()
    buffer.flush()
    return buffer.busy()


@contextmanager
def buffering(connection: Connection) -> Iterator[UpsertBuffer]:
    """Has upserts wait in the block; at its end, all have been executed.

    Whoever uses the connection, from whatever thread, finds them executed.

    Args:
        connection: in a transaction that is rolled back if an error leaves the block.

    Raises:
        Exception: what went wrong, even if that was caught in the block, where it
            seemed to be about something else.
        ResultNeededError: if the result of an upsert was asked for too late.
    """
    watch_buffers(connection)
    buffer = _begin_buffering(connection, UpsertBuffer(connection))
    try:
        with buffer.failing():
            yield buffer
            buffer.flush()
    finally:
        _end_buffering(connection)
        for name, listener in _LISTENERS.items():
            event.remove(connection, name, listener)


def wait_with_last(connection: Connection) -> None:
    """Has the last upsert wait, for `last_upserts()`.

    Args:
        connection: is watched by `watch_buffers()`.
    """
    _begin_buffering(connection, UpsertBuffer(connection, is_for_last=True))


def last_upserts(connection: Connection) -> Waiting | None:
    """What waits at the end of a transaction, for the caller to execute.

    From now on, nothing waits.
    """
    if (buffer := buffer_of(connection)) is None:
        return None
    _end_buffering(connection)
    return buffer.taken()


def watch_buffers(target: Engine | Connection) -> None:
    """Executes upserts that wait before other statements, and COMMIT."""
    for name, listener in _LISTENERS.items():
        event.listen(target, name, listener)


def _begin_buffering(connection: Connection, buffer: UpsertBuffer) -> UpsertBuffer:
    buffered = cast("BufferedConnection", connection)
    # There is no event for the use of the driver's connection.
    buffered.buffer, buffered.__class__ = buffer, BufferedConnection
    return buffer


def _end_buffering(connection: Any) -> None:
    connection.__class__ = Connection


def _hear_statement(
    connection: Connection, _cursor: Any, statement: str, *_: Any
) -> None:
    if (buffer := buffer_of(connection)) is not None:
        buffer.hear(statement)


def _hear_commit(connection: Connection) -> None:
    if (buffer := buffer_of(connection)) is not None:
        buffer.hear()


def _discard(connection: Connection) -> None:
    if (buffer := buffer_of(connection)) is not None:
        buffer.discard()


_LISTENERS: dict[str, Any] = {
    "before_cursor_execute": _hear_statement,
    "commit": _hear_commit,
    "rollback": _discard,
}
