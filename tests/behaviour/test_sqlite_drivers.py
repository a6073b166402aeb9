"""SQLite by other drivers than Python's own, and with what others do to all engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from behaviour.workers import ids, new_events
from eventsourcing_alchemy.errors import ConfigurationError
from factories import construct_factory


class OtherDialect(SQLiteDialect_pysqlite):
    driver = "other"
    supports_statement_cache = True


registry.register("sqlite.other", __name__, OtherDialect.__name__)


def environment(url: str) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing_alchemy", "SQLALCHEMY_URL": url}


def append_and_read(url: str) -> None:
    with closing(construct_factory("Application", environment(url))) as factory:
        recorder = factory.application_recorder()
        assert recorder.insert_events(new_events(2)) == [1, 2]
        with recorder.transaction():
            assert recorder.insert_events(new_events()) == [3]
        assert ids(recorder) == [1, 2, 3]


def test_other_drivers_are_refused(tmp_path: Path) -> None:
    url = f"sqlite+other:///{tmp_path / 'test.db'}"
    expected = "'sqlite.other' is not supported: expected one of sqlite.pysqlite, "
    with pytest.raises(ConfigurationError, match=expected):
        construct_factory("Application", environment(url))
    assert list(tmp_path.iterdir()) == []


def test_encrypted_files_are_encrypted(tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3")
    path = tmp_path / "test.db"
    append_and_read(f"sqlite+pysqlcipher://:secret@/{path}")
    assert not path.read_bytes().startswith(b"SQLite format 3\0")


@pytest.fixture
def _begin_on_all_engines() -> Iterator[None]:
    """The recipe of SQLAlchemy's documentation, on the class of all engines."""

    def leave_to_us(connection: Any, _: object) -> None:
        connection.isolation_level = None

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    event.listen(Engine, "connect", leave_to_us)
    event.listen(Engine, "begin", begin)
    yield
    event.remove(Engine, "begin", begin)
    event.remove(Engine, "connect", leave_to_us)


@pytest.mark.usefixtures("_begin_on_all_engines")
@pytest.mark.parametrize("echo", ["yes", "no"])
def test_listeners_that_begin_on_all_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echo: str
) -> None:
    monkeypatch.setenv("SQLALCHEMY_ECHO", echo)
    for url in f"sqlite:///{tmp_path / 'test.db'}", "sqlite://":
        append_and_read(url)
