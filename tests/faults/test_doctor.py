"""The command `doctor`, on servers that are set up as none should be."""

from __future__ import annotations

import secrets
from pathlib import Path

import psycopg
import pytest

from backends import Backend, Capability
from cli.command import Command, CommandInProcess
from cli.test_doctor import examined, levels, texts
from faults.mariadb import MariaDBServer
from faults.missing import available
from faults.pgbouncer import PgBouncer
from faults.postgresql import PostgreSQLServer, SmallQueueServer, Standby
from faults.servers import Server
from faults.test_notify_queue import fill
from faults.waiting import wait_until


def command_for(url: str, directory: Path) -> Command:
    env = {"PERSISTENCE_MODULE": "eventsourcing_alchemy", "SQLALCHEMY_URL": url}
    command = CommandInProcess(env, directory)
    command("schema", "upgrade")
    return command


def test_servers_that_forget(server: Server, tmp_path: Path) -> None:
    name = f"forgetful_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {name}")
    command = command_for(server.url(name), tmp_path)
    changed, restored, expected = _SETTINGS[type(server)]
    for each in changed:
        server.execute(each)
    try:
        wait_until(
            lambda: expected.items() <= levels(command.json("doctor", code=1)).items(),
            "it finds nothing",
        )
    finally:
        for each in restored:
            server.execute(each)


_SETTINGS: dict[type[Server], tuple[list[str], list[str], dict[str, str]]] = {
    PostgreSQLServer: (
        [
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        ],
        ["ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"],
        {"fsync": "error", "full_page_writes": "error"},
    ),
    MariaDBServer: (
        [
            "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
            "SET GLOBAL max_allowed_packet = 1048576",
        ],
        [
            "SET GLOBAL innodb_flush_log_at_trx_commit = DEFAULT",
            "SET GLOBAL max_allowed_packet = DEFAULT",
        ],
        {"innodb_flush_log_at_trx_commit": "warning", "max_allowed_packet": "warning"},
    ),
}


def test_a_standby(standby: Standby, tmp_path: Path) -> None:
    command = command_for(standby.url_of_both(), tmp_path)
    command.variables["SQLALCHEMY_URL"] = standby.url()
    document = command.json("doctor", code=1)
    assert levels(document)["standby"] == "warning"
    assert "target_session_attrs" in texts(document, "standby")


@pytest.mark.needs(Capability.NOTIFY)
def test_a_pooler(backend: Backend, tmp_path: Path) -> None:
    command = command_for(backend.url, tmp_path)
    assert levels(examined(backend, command))["pooler"] == "ok"
    with available(), PgBouncer(backend.url) as pooler:
        command.variables["SQLALCHEMY_URL"] = pooler.url
        document = command.json("doctor", code=1)
        assert levels(document)["pooler"] == "warning"
        assert "SQLALCHEMY_LISTEN_URL" in texts(document, "pooler")
        assert levels(document)["NOTIFY"] == "warning"


def test_a_full_notification_queue(tmp_path: Path) -> None:
    with available(), SmallQueueServer() as server:
        command = command_for(server.url(), tmp_path)
        server.execute("CREATE DATABASE another")
        address = f"host=127.0.0.1 port={server.port} user=postgres dbname=another"
        with psycopg.connect(address) as idle:
            idle.execute("LISTEN whatever")
            idle.commit()
            idle.execute("SELECT 1")
            fill(server)
            document = command.json("doctor", code=1)
            idle.rollback()
    assert levels(document)["notification queue"] == "error"
