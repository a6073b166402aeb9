"""Arrays in PostgreSQL's binary format, which psycopg makes one element at a time."""

from collections.abc import Iterable
from struct import Struct
from typing import Any, ClassVar
from uuid import UUID

from psycopg import Connection, adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY

_HEADER = Struct("!iiIii")
"""Dimensions, whether there are NULLs, element's OID, length, first index."""

_LENGTH = Struct("!i")
_NUMBER = Struct("!iq")
_LENGTH_OF_UUID = _LENGTH.pack(16)


class Uuids(list[UUID]):
    """An array of UUIDs."""


class Numbers(list[int]):
    """An array of integers of 64 bits."""


class Texts(list[str]):
    """An array of texts."""


class Blobs(list[bytes]):
    """An array of byte strings."""


class _ArrayDumper(Dumper):
    format = Format.BINARY
    element: ClassVar[str]
    """Name of the elements' type."""

    def __init_subclass__(cls) -> None:
        cls.oid = adapters.types[cls.element].array_oid

    def dump(self, obj: Any) -> bytes:
        oid = adapters.types[self.element].oid
        return _HEADER.pack(1, 0, oid, len(obj), 1) + b"".join(self._elements(obj))

    def _elements(self, obj: Any) -> Iterable[bytes]:
        raise NotImplementedError


class _UuidsDumper(_ArrayDumper):
    element = "uuid"

    def _elements(self, obj: Uuids) -> Iterable[bytes]:
        return [_LENGTH_OF_UUID + each.bytes for each in obj]


class _NumbersDumper(_ArrayDumper):
    element = "int8"

    def _elements(self, obj: Numbers) -> Iterable[bytes]:
        return [_NUMBER.pack(8, each) for each in obj]


class _BlobsDumper(_ArrayDumper):
    element = "bytea"

    def _elements(self, obj: Blobs) -> Iterable[bytes]:
        return [_LENGTH.pack(len(each)) + each for each in obj]


class _TextsDumper(_BlobsDumper):
    element = "text"

    def _elements(self, obj: Any) -> Iterable[bytes]:
        encoding = self._encoding()
        return super()._elements(Blobs(each.encode(encoding) for each in obj))

    def _encoding(self) -> str:
        """That of the session, which may be the database's own."""
        encoding = self.connection.info.encoding if self.connection else "ascii"
        # Where the server converts nothing, SQL_ASCII.
        return "utf-8" if encoding == "ascii" else encoding


_DUMPERS = {
    Uuids: _UuidsDumper,
    Numbers: _NumbersDumper,
    Texts: _TextsDumper,
    Blobs: _BlobsDumper,
}

_ARRAYS: dict[type, type[list[Any]]] = {
    UUID: Uuids,
    int: Numbers,
    str: Texts,
    bytes: Blobs,
}


def register_arrays(connection: Connection[Any]) -> None:
    """Lets a connection of psycopg send these arrays in one piece."""
    for array, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(array, dumper)


class Array(TypeDecorator[list[Any]]):
    """A list of values, of which psycopg makes an array in one piece."""

    impl = ARRAY
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return what marks a list for psycopg."""
        if dialect.driver != "psycopg":
            return super().bind_processor(dialect)
        # A connection that does not know them takes them for lists.
        array: Any = self.impl_instance
        return _ARRAYS[array.item_type.python_type]
