"""A server on which a lock timeout ends the transaction, and the next statement begins
another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import OperationalError

from behaviour.own_table import count_own, execute_raw, metadata, own
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, TransactionEndedError
from factories import construct_factory
from faults.databases import fresh_database
from faults.mariadb import MariaDBServer
from faults.missing import available


class RollingBack(MariaDBServer):
    """With a setting that is read at the start."""

    def _command(self) -> Sequence[str | Path]:
        return [*super()._command(), "--innodb-rollback-on-timeout"]


@pytest.fixture(scope="module")
def rolling_back() -> Iterator[RollingBack]:
    with available(), RollingBack() as server:
        yield server


@pytest.fixture
def recorder(rolling_back: RollingBack) -> Iterator[SQLAlchemyApplicationRecorder]:
    with fresh_database(rolling_back.url()) as env:
        variables = {**env, "SQLALCHEMY_LOCK_TIMEOUT": "1"}
        with closing(construct_factory("Application", variables)) as factory:
            recorder = factory.application_recorder()
            metadata.create_all(recorder.datastore.engine)
            yield recorder


def wait_in_vain(connection: Connection) -> None:
    with suppress(OperationalError):
        connection.execute(select(own).with_for_update())


def wait_in_vain_raw(connection: Connection) -> None:
    driver_connection: Any = connection.connection
    with suppress(driver_connection.OperationalError):
        execute_raw(connection, "SELECT * FROM own FOR UPDATE")


@pytest.mark.parametrize("wait", [wait_in_vain, wait_in_vain_raw])
def test_caught_timeout(
    recorder: SQLAlchemyApplicationRecorder, wait: Callable[[Connection], None]
) -> None:
    engine = recorder.datastore.engine
    with engine.begin() as connection:
        connection.execute(insert(own).values(id=1))

    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            wait(connection)
            execute_raw(connection, "INSERT INTO own (id) VALUES (2)")

    with engine.begin() as other:
        other.execute(select(own).with_for_update())
        with pytest.raises(TransactionEndedError):
            write()
    assert ids(recorder) == []
    assert count_own(recorder) == 1
