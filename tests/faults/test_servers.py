"""The servers that other tests break are there when needed, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from faults.ports import HOST
from faults.postgresql import Mode, PostgreSQLServer, Standby
from faults.servers import Server
from faults.waiting import wait_until

KILLED = """
import os, signal
from {module} import {name} as Server
with Server() as server:
    print(server._directory.path, server.port, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A process that is killed while its server runs."""


def check_survival(server: Server, end: Callable[[], None]) -> None:
    server.execute("CREATE DATABASE survival")
    end()
    assert not server.is_running
    with pytest.raises(server._connection_error):
        server.execute("SELECT 1")
    server.start()
    server.execute("DROP DATABASE survival")


def test_survives_to_be_killed(server: Server) -> None:
    process = server._process
    check_survival(server, server.kill)
    assert process
    assert process.returncode == -signal.SIGKILL


def test_survives_to_be_stopped(server: Server) -> None:
    check_survival(server, server.stop)


def test_postgresql_has_modes_to_stop(primary: PostgreSQLServer) -> None:
    modes: tuple[Mode, ...] = ("smart", "fast", "immediate")
    for mode in modes:
        check_survival(primary, partial(primary.stop, mode))


def test_nothing_is_left_when_its_process_is_killed(server: Server) -> None:
    kind = type(server)
    code = KILLED.format(module=kind.__module__, name=kind.__name__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    directory, port = killed.stdout.split()
    # It is removed last.
    wait_until(lambda: not Path(directory).exists(), f"{directory} is left")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, int(port)))


def test_a_standby_has_all_that_was_acknowledged(
    primary: PostgreSQLServer, standby: Standby
) -> None:
    primary.execute("CREATE TABLE t (id INT)")
    engine = create_engine(standby.url_of_both(), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    primary.kill()
    standby.promote()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (2)")
    assert standby.execute("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_without_its_standby_a_primary_acknowledges_nothing(
    primary: PostgreSQLServer, standby: Standby
) -> None:
    primary.execute("CREATE TABLE t (id INT)")
    standby.kill()
    with ThreadPoolExecutor() as threads:
        commit = threads.submit(primary.execute, "INSERT INTO t VALUES (1)")
        with pytest.raises(TimeoutError):
            commit.result(0.2)
        standby.start()
        commit.result(10)
