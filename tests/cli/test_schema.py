"""`schema`: what it does, and says that it did."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from backends import Backend, Capability
from cli.command import Command
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.migrate import head_revision

pytestmark = pytest.mark.needs(Capability.SHARED)


def execute(backend: Backend, statement: str) -> None:
    engine = create_engine(backend.url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.empty
def test_from_nothing(command_process: Command) -> None:
    command = command_process
    said = command("schema", "upgrade").stdout
    assert f"Upgraded the schema from nothing to {head_revision()}." in said
    assert "Created es_events." in said
    document = command.json("schema", "upgrade")
    assert document["before"] == document["after"]
    assert "nothing to upgrade" in command("schema", "upgrade").stdout
    assert command.json("schema", "current")["is_current"]
    assert command.json("schema", "check")["differences"] == []


def test_what_differs(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "ALTER TABLE es_tracking ADD COLUMN odd INTEGER")
    document = command.json("schema", "check", code=1)
    assert "odd" in str(document["differences"])


def test_a_table_that_is_gone(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "DROP TABLE es_leases")
    assert command.json("schema", "current", code=1)["schema"]["missing"] == [
        "es_leases"
    ]
    assert "lacks es_leases" in command("schema", "current", code=1).stdout
    upgrade = command("schema", "upgrade", code=1)
    assert upgrade.stdout == ""
    assert "lacks es_leases: restore them, or" in upgrade.stderr
    for each in (("schema", "check"), ("doctor",)):
        said = command(*each, code=1).stdout
        assert "'alembic stamp base'" in said
        assert f"not {head_revision()}" not in said
    assert "es_leases" in command("status", code=3).stderr


def test_several_revisions(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "INSERT INTO es_alembic_version VALUES ('es_0002')")
    for each in ("current", "check", "upgrade"):
        problem = command("schema", each, code=5).stderr
        assert "es_alembic_version has several rows: delete all but" in problem


def test_an_older_revision(backend: Backend, command: Command) -> None:
    command("schema", "upgrade")
    execute(backend, "UPDATE es_alembic_version SET version_num = 'es_0002'")
    document = command.json("schema", "current", code=1)
    assert document["schema"]["revision"] == "es_0002"
    assert "es_0002" in str(command.json("schema", "check", code=1))
    command("schema", "upgrade")
    assert command.json("schema", "current")["is_current"]


def test_a_script_for_nothing(command: Command) -> None:
    command.variables["SQLALCHEMY_URL"] = "nonsense"
    assert "SQLALCHEMY_URL: " in command("schema", "sql", code=2).stderr


def test_the_script(command: Command) -> None:
    script = command("schema", "sql").stdout
    assert all(f"CREATE TABLE {name}" in script for name in tables.metadata.tables)
