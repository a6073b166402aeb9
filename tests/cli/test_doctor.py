"""`doctor`, against databases that are damaged in each way it looks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from sqlalchemy import create_engine, event, make_url, text

from backends import Backend, Capability
from behaviour.workers import new_events
from cli.command import Command
from eventsourcing_alchemy import DeadLetters, Lease, SQLAlchemyFactory
from eventsourcing_alchemy.dialects.mysql import diagnosis as of_mysql
from eventsourcing_alchemy.dialects.postgresql import diagnosis as of_postgresql
from eventsourcing_alchemy.dialects.sqlite import diagnosis as of_sqlite
from eventsourcing_alchemy.operations import doctor as checks
from eventsourcing_alchemy.operations import privileges
from factories import OpenFactory

pytestmark = pytest.mark.needs(Capability.SHARED)


def execute(backend: Backend, *statements: str) -> None:
    engine = create_engine(backend.url)
    with engine.begin() as connection:
        for each in statements:
            connection.execute(text(each))
    engine.dispose()


FORGOTTEN = {"fsync", "full_page_writes", "innodb_flush_log_at_trx_commit"}
"""Checks that find something in servers of the tests' own, which are quick by that."""


def examined(backend: Backend, command: Command) -> Any:
    """What the doctor says, which must have nothing else to complain of."""
    forgets = Capability.SERVER in backend.capabilities and (
        os.environ.get("TEST_SERVERS") == "own"
    )
    document = command.json("doctor", code=1 if forgets else 0)
    found = {check for check, level in levels(document).items() if level != "ok"}
    assert found <= (FORGOTTEN if forgets else set())
    return document


def levels(document: Any) -> dict[str, str]:
    """The worst level of each check."""
    found: dict[str, str] = {}
    for each in document["findings"]:
        if found.get(each["check"], "ok") == "ok":
            found[each["check"]] = each["level"]
    return found


def texts(document: Any, check: str) -> str:
    return " ".join(
        f"{each['text']} {each['remedy']}"
        for each in document["findings"]
        if each["check"] == check
    )


def test_nothing_is_wrong(
    factory: SQLAlchemyFactory, backend: Backend, command_process: Command
) -> None:
    factory.application_recorder()
    document = examined(backend, command_process)
    assert {"versions", "connection", "schema", "privileges", "clock"} <= {
        *levels(document)
    }


@pytest.mark.needs(Capability.NOTIFY)
def test_notifications_arrive(
    factory: SQLAlchemyFactory, backend: Backend, command: Command
) -> None:
    factory.application_recorder()
    assert texts(examined(backend, command), "NOTIFY") == "arrives None"
    command.variables["SQLALCHEMY_SUBSCRIBE"] = "poll"
    assert "switched off" in texts(examined(backend, command), "NOTIFY")


@pytest.mark.needs(Capability.NOTIFY)
def test_notifications_that_do_not_arrive(
    factory: SQLAlchemyFactory, backend: Backend, command: Command
) -> None:
    factory.application_recorder()
    elsewhere = make_url(backend.url).set(database="postgres")
    command.variables["SQLALCHEMY_LISTEN_URL"] = elsewhere.render_as_string()
    document = command.json("doctor", code=1)
    assert levels(document)["NOTIFY"] == "warning"
    assert "SQLALCHEMY_LISTEN_URL" in texts(document, "NOTIFY")


@pytest.mark.needs(Capability.NOTIFY)
def test_long_transactions(
    factory: SQLAlchemyFactory,
    backend: Backend,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factory.application_recorder()
    monkeypatch.setattr(of_postgresql, "LONG_TRANSACTION", 0.0)
    with factory.datastore.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        found = texts(command.json("doctor", code=1), "long transactions")
    assert f"pg_terminate_backend({pid})" in found
    assert texts(examined(backend, command), "long transactions") == "none None"


@pytest.mark.needs(Capability.LIMITED_PACKETS)
def test_small_packets(
    factory: SQLAlchemyFactory, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.application_recorder()
    monkeypatch.setattr(of_mysql, "SMALL_PACKET", 2**31)
    document = command.json("doctor", code=1)
    assert levels(document)["max_allowed_packet"] == "warning"


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_files_that_forget(
    factory: SQLAlchemyFactory,
    backend: Backend,
    command: Command,
    topic_of: Callable[[object], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factory.application_recorder().insert_events(new_events())
    monkeypatch.setattr(of_sqlite, "LARGE_LOG", 1)
    assert levels(command.json("doctor", code=1))["log"] == "warning"
    path = make_url(backend.url).database
    command.variables["SQLALCHEMY_URL"] = f"sqlite:///file:{path}?uri=true"
    found = levels(command.json("doctor", code=1))
    assert found["log"] == "warning"
    assert "file" not in found
    command.variables["SQLALCHEMY_URL"] = backend.url
    factory.close()
    engine = create_engine(backend.url)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=OFF")

    command.variables["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    found = levels(command.json("doctor", code=1))
    engine.dispose()
    assert (found["journal_mode"], found["synchronous"]) == ("warning", "warning")


def test_clocks_that_differ(
    factory: SQLAlchemyFactory, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.application_recorder()
    monkeypatch.setattr(checks, "MOST_CLOCK_DIFFERENCE", -1.0)
    assert levels(command.json("doctor", code=1))["clock"] == "warning"


@pytest.mark.needs(Capability.NOTIFY)
def test_commits_that_may_be_lost(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    name = make_url(backend.url).database
    execute(backend, f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        document = command.json("doctor", code=1)
    finally:
        execute(backend, f"ALTER DATABASE {name} RESET synchronous_commit")
    assert levels(document)["synchronous_commit"] == "warning"


def test_a_schema_that_lacks_a_table(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "DROP TABLE es_leases")
    document = command.json("doctor", code=1)
    assert levels(document)["schema"] == "error"
    assert "es_leases" in texts(document, "schema")


def test_schemas_of_other_versions(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "UPDATE es_alembic_version SET version_num = 'es_0001'")
    document = command.json("doctor", code=1)
    assert levels(document)["schema"] == "warning"
    assert "schema upgrade" in texts(document, "schema")
    execute(backend, "UPDATE es_alembic_version SET version_num = 'es_9999'")
    older = "pgrade the package"
    assert older in texts(command.json("doctor", code=1), "schema")
    assert older in command("schema", "current", code=1).stdout
    assert older in command("schema", "check", code=1).stdout
    assert older in command("schema", "upgrade", code=5).stderr


@pytest.mark.needs(Capability.STORAGE_ENGINES)
def test_tables_without_transactions(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "ALTER TABLE es_leases ENGINE=Aria TRANSACTIONAL=0")
    document = command.json("doctor", code=1)
    assert "es_leases" in texts(document, "storage")


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
def test_projections(open_factory: OpenFactory, command: Command) -> None:
    recorder = open_factory("Bank").application_recorder()
    recorder.insert_events([StoredEvent(uuid4(), 1, "t:1", b"{}")])
    recorder.insert_events([StoredEvent(uuid4(), 1, "t:1", b"{}")])
    tracking = open_factory("balances").tracking_recorder()
    DeadLetters(tracking).record(Tracking("Bank", 1), "t:1", ValueError("no"), 1)
    tracking.insert_tracking(Tracking("Gone", 7))
    lease = Lease(tracking.datastore, "balances", "Bank")
    lease.acquire()
    lease.release()
    found = texts(command.json("doctor", code=1), "projections")
    assert "'balances' of 'Bank' is stopped, with 1 events" in found
    assert "has passed over 1 events" in found
    assert "'balances' of 'Gone' is orphaned" in found


@pytest.mark.needs(Capability.SERVER)
def test_a_frozen_projection(
    backend: Backend, open_factory: OpenFactory, command: Command
) -> None:
    recorder = open_factory("Bank").application_recorder()
    for _ in range(2):
        recorder.insert_events([StoredEvent(uuid4(), 1, "t:1", b"{}")])
    execute(
        backend,
        "UPDATE es_events SET recorded_at = '2026-01-01 00:00:00'",
    )
    tracking = open_factory("balances").tracking_recorder()
    tracking.insert_tracking(Tracking("Bank", 1))
    found = texts(command.json("doctor", code=1), "projections")
    assert "'balances' of 'Bank' is behind by 1 events" in found
    assert Lease(tracking.datastore, "balances", "Bank", duration=60).acquire()
    document = command.json("doctor", code=1)
    assert "is frozen" in texts(document, "projections")


@pytest.mark.needs(Capability.SERVER)
def test_a_database_that_is_not_there(backend: Backend, command: Command) -> None:
    url = make_url(backend.url).set(port=1, password="s3cr%t/")  # noqa: S106
    command.variables["SQLALCHEMY_URL"] = url.render_as_string(hide_password=False)
    document = command.json("doctor", code=3)
    assert levels(document)["connection"] == "error"
    result = command("status", code=3)
    for printed in (str(document), result.stdout, result.stderr):
        assert "s3cr" not in printed


@pytest.mark.needs(Capability.NOTIFY)
def test_options_of_a_url_are_not_shown(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    url = make_url(backend.url).update_query_dict({"sslpassword": "s3cr3t"})
    command.variables["SQLALCHEMY_URL"] = url.render_as_string(hide_password=False)
    assert "s3cr" not in str(examined(backend, command))


def test_variables_that_are_wrong(factory: SQLAlchemyFactory, command: Command) -> None:
    factory.application_recorder()
    for module in ("eventsourcing-alchemy", "eventsourcing.sqlite", "nosuch"):
        command.variables["PERSISTENCE_MODULE"] = module
        document = command.json("doctor", code=1)
        assert "PERSISTENCE_MODULE=eventsourcing_alchemy" in texts(
            document, "PERSISTENCE_MODULE"
        )
    command.variables["SQLALCHEMY_RETRY_TIMEOUT"] = "soon"
    assert "'soon'" in command("doctor", code=2).stderr


@pytest.mark.least_privilege(only=True)
def test_the_role_for_applications(
    backend: Backend, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = texts(examined(backend, command), "privileges")
    assert found.startswith("Applications and")
    monkeypatch.setattr(privileges, "_CHANGED", {"es_events": ["topic"]})
    found = texts(command.json("doctor", code=1), "privileges")
    assert "UPDATE es_events: " in found
    assert "INSERT" not in found


def test_tables_that_differ(factory: SQLAlchemyFactory, command: Command) -> None:
    factory.application_recorder()
    added = "ALTER TABLE es_events ADD COLUMN of_theirs INTEGER NOT NULL DEFAULT 1"
    with factory.datastore.engine.begin() as connection:
        connection.exec_driver_sql(added)
    found = texts(command.json("doctor", code=1), "schema")
    assert "Differences from the tables of this version: 1" in found
    assert "schema check" in found


@pytest.mark.needs(Capability.STORAGE_ENGINES)
def test_inserts_that_fail(factory: SQLAlchemyFactory, command: Command) -> None:
    """Not for want of a right."""
    factory.application_recorder()
    with factory.datastore.engine.begin() as connection:
        altered = "ALTER TABLE es_applications MODIFY id BIGINT NOT NULL"
        connection.exec_driver_sql(altered)
    found = texts(command.json("doctor", code=1), "privileges")
    assert "INSERT es_applications" in found
    assert "schema check" in found
    assert "GRANT" not in found


@pytest.mark.needs(Capability.ROW_POLICIES)
def test_a_role_without_rights(
    factory: SQLAlchemyFactory, backend: Backend, command: Command
) -> None:
    factory.application_recorder()
    role = f"doctor_{os.getpid()}"
    with factory.datastore.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {role}")
    try:
        url = make_url(backend.url).set(username=role)
        command.variables["SQLALCHEMY_URL"] = url.render_as_string()
        document = command.json("doctor", code=1)
        assert "permission denied for table es_tracking" in str(document)
        assert "aborted" not in str(document)
    finally:
        with factory.datastore.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
