"""The proxy does to connections what it says."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError

from backends import Backend, Capability
from faults.ports import HOST, ReservedPort
from faults.proxy import Proxy

pytestmark = pytest.mark.needs(Capability.SERVER)

INSERT = "INSERT INTO t VALUES (1)"
SHORT = 0.2
"""Seconds in which what is held does not arrive."""


@pytest.fixture
def direct(backend: Backend) -> Engine:
    """The database, with a table `t`, past the proxy."""
    engine = create_engine(backend.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INT)")
    return engine


@pytest.fixture
def through(proxy: Proxy, direct: Engine) -> Engine:  # noqa: ARG001
    """The same through the proxy. It keeps no connections."""
    return create_engine(proxy.url, poolclass=NullPool)


@pytest.fixture
def connection(through: Engine) -> Iterator[Connection]:
    """A connection through the proxy."""
    with through.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        yield connection
        connection.invalidate()


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        count: int = connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one()
        return count


def knock(proxy: Proxy) -> socket.socket:
    """Connect, in the database's absence."""
    port = make_url(proxy.url).port
    assert port
    return socket.create_connection((HOST, port), timeout=SHORT)


def received(connection: Connection) -> bytes:
    """What comes next to the driver, which is not told."""
    driver: Any = connection.connection.driver_connection
    number = driver.fileno() if hasattr(driver, "fileno") else driver._sock.fileno()
    with socket.socket(fileno=os.dup(number)) as copy:
        copy.settimeout(5)
        return copy.recv(1)


def test_cut_connections_are_closed(proxy: Proxy, connection: Connection) -> None:
    proxy.cut()
    assert received(connection) == b""


def test_reset_connections_are_reset(proxy: Proxy, connection: Connection) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        received(connection)


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset])
def test_others_can_connect_after_a_moment(
    proxy: Proxy, connection: Connection, through: Engine, fault: Any
) -> None:
    fault(proxy)
    with pytest.raises(OperationalError):
        connection.exec_driver_sql(INSERT)
    assert rows(through) == 0


def test_what_is_stalled_arrives_when_healed(
    proxy: Proxy, connection: Connection, through: Engine, direct: Engine
) -> None:
    proxy.stall()
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        stack.callback(proxy.heal)
        old = threads.submit(connection.exec_driver_sql, INSERT)
        new = threads.submit(rows, through)
        with pytest.raises(TimeoutError):
            old.result(SHORT)
        assert not new.done()
        proxy.heal()
        old.result(5)
        assert new.result(5) == 0
    connection.commit()
    assert rows(direct) == 1


def test_refuses_until_healed(
    proxy: Proxy, connection: Connection, through: Engine
) -> None:
    proxy.refuse()
    assert received(connection) == b""
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            knock(proxy)
    proxy.heal()
    assert rows(through) == 0


def test_nobody_answers_from_a_black_hole_until_healed(
    proxy: Proxy, connection: Connection, through: Engine
) -> None:
    proxy.black_hole()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            knock(proxy)
    proxy.heal()
    assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    assert rows(through) == 0


def test_a_request_can_be_lost(
    proxy: Proxy, connection: Connection, through: Engine, direct: Engine
) -> None:
    trigger = proxy.when_client_sends(b"INSERT INTO t", then=proxy.cut)
    with pytest.raises(OperationalError):
        connection.exec_driver_sql(INSERT)
    assert trigger.fired.is_set()
    assert rows(direct) == 0
    with through.begin() as connection:
        connection.exec_driver_sql(INSERT)
    assert rows(direct) == 1


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset, Proxy.refuse])
def test_the_answer_to_a_commit_can_be_lost(
    proxy: Proxy, connection: Connection, direct: Engine, fault: Any
) -> None:
    proxy.after_server_answers(re.compile(rb"^COMMIT"), then=lambda: fault(proxy))
    connection.exec_driver_sql(INSERT)
    with pytest.raises(OperationalError):
        connection.commit()
    assert rows(direct) == 1


def test_the_answer_to_a_prepared_statement_can_be_lost(
    proxy: Proxy, through: Engine, direct: Engine
) -> None:
    with through.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(10):
            connection.exec_driver_sql("INSERT INTO t VALUES (%s)", (1,))
        proxy.after_server_answers(b"INSERT INTO t", then=proxy.cut)
        with pytest.raises(OperationalError):
            connection.exec_driver_sql("INSERT INTO t VALUES (%s)", (1,))
    assert rows(direct) == 11


@pytest.mark.needs(Capability.NOTIFY)
def test_an_answer_that_comes_in_pieces_is_waited_for(
    proxy: Proxy, through: Engine, direct: Engine
) -> None:
    seen: list[int] = []
    proxy.after_server_answers(b"INSERT", then=lambda: seen.append(rows(direct)))
    with through.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(
            "INSERT INTO t SELECT * FROM generate_series(1, 3) "
            "RETURNING repeat('x', 10000), pg_sleep(0.05)"
        )
    assert seen == [3]


def test_long_statements_are_recognised(
    proxy: Proxy, connection: Connection, direct: Engine
) -> None:
    proxy.when_client_sends(b"the end", then=proxy.cut)
    with pytest.raises(OperationalError):
        connection.exec_driver_sql(f"{INSERT} /* {'x' * 500_000} the end */")
    assert rows(direct) == 0


def test_fires_as_often_as_it_is_told(proxy: Proxy, through: Engine) -> None:
    proxy.when_client_sends(b"count(*)", then=proxy.cut, times=2)
    for _ in range(2):
        with pytest.raises(OperationalError):
            rows(through)
    assert rows(through) == 0


def test_a_moment_can_be_held(
    proxy: Proxy, connection: Connection, direct: Engine
) -> None:
    release = threading.Event()
    trigger = proxy.after_server_answers(b"COMMIT", then=lambda: release.wait(10))
    connection.exec_driver_sql(INSERT)
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        stack.callback(release.set)
        commit = threads.submit(connection.commit)
        with pytest.raises(TimeoutError):
            commit.result(SHORT)
        assert rows(direct) == 1
        assert not trigger.fired.is_set()
        release.set()
        commit.result(5)


def test_what_a_trigger_raises_is_raised_at_the_end(
    backend: Backend, direct: Engine
) -> None:
    def fail() -> None:
        raise ValueError("deliberate")

    def use() -> None:
        with Proxy(backend.url) as proxy:
            through = create_engine(proxy.url, poolclass=NullPool)
            assert rows(through) == 0
            proxy.when_client_sends(b"count(*)", then=fail)
            with pytest.raises(OperationalError):
                rows(through)

    with pytest.RaisesGroup(ValueError, flatten_subgroups=True):
        use()
    assert rows(direct) == 0


def test_clients_hear_that_the_server_is_away(backend: Backend) -> None:
    with closing(ReservedPort()) as nobody:
        away = make_url(backend.url).set(port=nobody.number)
        with Proxy(away) as proxy:
            engine = create_engine(proxy.url, poolclass=NullPool)
            with pytest.raises(OperationalError):
                engine.connect()
