"""As much of the databases' protocols as it takes to tell what a client asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

from sqlalchemy import URL


class Wire(ABC):
    """Follows what one client sends, whatever the pieces that it arrives in.

    Attributes:
        readable: what a URL must say for connections not to be encrypted.
    """

    readable: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        self._received = bytearray()

    def statements(self, data: bytes) -> Iterator[bytes]:
        """The statements to execute, of the messages that end in the data."""
        self._received += data
        while message := self._next():
            statement = self._statement(message)
            if statement is not None:
                yield statement

    def _next(self) -> bytes:
        size = self._size(self._received)
        if size is None or len(self._received) < size:
            return b""
        message = bytes(self._received[:size])
        del self._received[:size]
        return message

    @abstractmethod
    def _size(self, received: bytearray) -> int | None:
        """The bytes in the message that begins here, if enough of it is there."""

    @abstractmethod
    def _statement(self, message: bytes) -> bytes | None:
        """The statement that the message executes, if any."""

    @abstractmethod
    def is_complete(self, answer: bytes) -> bool:
        """Whether the server has done what it answers to."""


class PostgreSQLWire(Wire):
    """Knows the texts of prepared statements when they are executed again."""

    readable: ClassVar[Mapping[str, str]] = {
        "sslmode": "disable",
        "gssencmode": "disable",
    }

    def __init__(self) -> None:
        super().__init__()
        self._is_started = False
        self._prepared: dict[bytes, bytes] = {}

    def _size(self, received: bytearray) -> int | None:
        # The first message has no type.
        start = 1 if self._is_started else 0
        if len(received) < start + 4:
            return None
        return start + int.from_bytes(received[start : start + 4], "big")

    def _statement(self, message: bytes) -> bytes | None:
        if not self._is_started:
            self._is_started = True
            return None
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._prepared.get(name)
        return body if kind == b"Q" else None

    def is_complete(self, answer: bytes) -> bool:
        # It ends with ReadyForQuery, which is sent after a commit, not before.
        return answer[-6:-1] == b"Z\0\0\0\5"


class MySQLWire(Wire):
    """For text statements, which are all that PyMySQL sends."""

    readable: ClassVar[Mapping[str, str]] = {"ssl_disabled": "true"}

    def _size(self, received: bytearray) -> int | None:
        return 4 + int.from_bytes(received[:3], "little") if len(received) > 3 else None

    def _statement(self, message: bytes) -> bytes | None:
        return message[5:] if message[4:5] == b"\3" else None

    def is_complete(self, answer: bytes) -> bool:
        # A packet, which is all there is unless there are rows.
        size = self._size(bytearray(answer))
        return size is not None and len(answer) >= size


class MySQLClientWire(MySQLWire):
    """The same, as mysqlclient is told."""

    readable: ClassVar[Mapping[str, str]] = {"ssl_mode": "DISABLED"}


def wire_of(url: URL) -> type[Wire]:
    """The protocol of a database."""
    if url.get_backend_name() == "postgresql":
        return PostgreSQLWire
    return MySQLClientWire if url.get_driver_name() == "mysqldb" else MySQLWire
