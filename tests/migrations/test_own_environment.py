"""Our revisions inside a user's own Alembic environment."""

from __future__ import annotations

from pathlib import Path
from shutil import copy, copytree

import pytest
from sqlalchemy import Connection, Engine, inspect

from backends import Backend
from commandline import CHECKOUT, Alembic, AlembicInProcess
from eventsourcing_alchemy.schema.migrate import (
    current_revision,
    missing_tables,
    upgrade,
)
from eventsourcing_alchemy.schema.tables import metadata

VERSIONS = CHECKOUT / "migrations" / "versions"
NO_DRIFT = "No new upgrade operations detected"


@pytest.mark.needs("shared")
def test_both_histories_live_side_by_side(
    backend: Backend,
    engine: Engine,
    connection: Connection,
    alembic: Alembic,
    ini: Path,
    tmp_path: Path,
) -> None:
    connection.rollback()
    versions = tmp_path / "versions"
    generate = ("revision", "--autogenerate", "--version-path", str(versions), "-m")

    alembic(backend.url, "upgrade", "heads", ini=ini)
    alembic(backend.url, *generate, "mine", "--head=base", ini=ini)
    (first,) = versions.glob("*_mine.py")
    assert "create_table('mine'" in first.read_text()
    assert "es_" not in first.read_text().partition("def upgrade")[2]

    alembic(backend.url, "upgrade", "heads", ini=ini)
    head = first.name.partition("_")[0]
    alembic(backend.url, *generate, "nothing", f"--head={head}", ini=ini)
    (second,) = versions.glob("*_nothing.py")
    assert "op." not in second.read_text().partition("def upgrade")[2]

    expected = {"mine", "alembic_version", *metadata.tables}
    assert set(inspect(engine).get_table_names()) == expected
    upgrade(connection, None)
    connection.rollback()
    assert set(inspect(engine).get_table_names()) == expected
    assert current_revision(connection, None) is None

    connection.rollback()
    alembic(backend.url, "downgrade", "eventsourcing_alchemy@base", ini=ini)
    assert missing_tables(connection, None) == sorted(metadata.tables)
    assert inspect(engine).has_table("mine")


@pytest.mark.needs("shared")
def test_two_environments_do_not_meet(
    backend: Backend,
    engine: Engine,
    alembic: Alembic,
    ini_with_sections: Path,
    tmp_path: Path,
) -> None:
    """With Alembic's ordinary commands, for any number of revisions."""
    url, ini = backend.url, ini_with_sections
    before = sorted(VERSIONS.iterdir())
    alembic(url, "-n", "eventsourcing_alchemy", "upgrade", "head", ini=ini)
    for number in range(1, 4):
        alembic(url, "revision", "--autogenerate", "-m", f"no {number}", ini=ini)
        alembic(url, "upgrade", "head", ini=ini)
        alembic(url, "downgrade", "-1", ini=ini)
        alembic(url, "upgrade", "head", ini=ini)
        alembic(url, "-n", "eventsourcing_alchemy", "upgrade", "head", ini=ini)
        assert len(list((tmp_path / "versions").glob("*.py"))) == number
    expected = {"mine", "alembic_version", "es_alembic_version", *metadata.tables}
    assert set(inspect(engine).get_table_names()) == expected
    assert NO_DRIFT in alembic(url, "-n", "eventsourcing_alchemy", "check", ini=ini)
    assert sorted(VERSIONS.iterdir()) == before


@pytest.mark.parametrize("ini", ["excluded"], indirect=True)
@pytest.mark.needs("shared")
def test_no_revision_is_written_among_ours(
    backend: Backend, alembic: Alembic, ini: Path, tmp_path: Path
) -> None:
    before = sorted(VERSIONS.iterdir())
    alembic(backend.url, "upgrade", "heads", ini=ini)
    refused = "would follow one of eventsourcing_alchemy"
    generate = ("revision", "--autogenerate", "-m", "mine")
    alembic(backend.url, *generate, ini=ini, error=refused)
    own = ("--version-path", str(tmp_path / "versions"))
    alembic(backend.url, *generate, *own, ini=ini, error=refused)
    assert sorted(VERSIONS.iterdir()) == before
    alembic(backend.url, *generate, *own, "--head=base", ini=ini)


@pytest.mark.parametrize(
    "arguments",
    [
        ("revision", "-m", "mine"),
        ("revision", "-m", "mine", "--autogenerate"),
        ("merge", "-m", "mine", "es_0006"),
    ],
    ids=" ".join,
)
@pytest.mark.needs("shared")
def test_no_revision_is_written_into_the_package(
    backend: Backend,
    alembic: Alembic,
    ini_with_sections: Path,
    arguments: tuple[str, ...],
) -> None:
    """Neither into an installed one, nor into a checkout that others use."""
    before = sorted(VERSIONS.iterdir())
    section, ini = ("-n", "eventsourcing_alchemy"), ini_with_sections
    alembic(backend.url, *section, "upgrade", "head", ini=ini)
    refused = "would become part of the package eventsourcing_alchemy: create yours in"
    alembic(backend.url, *section, *arguments, ini=ini, error=refused)
    assert sorted(VERSIONS.iterdir()) == before


@pytest.mark.once
def test_in_a_checkout_a_revision_is_written(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    copytree(CHECKOUT / "migrations", checkout / "migrations")
    ini = Path(copy(CHECKOUT / "alembic.ini", checkout))
    arguments = ("revision", "-m", "ours", "--rev-id", "es_0007")
    AlembicInProcess(checkout)(None, *arguments, ini=ini, error="would become part")
    copy(CHECKOUT / "pyproject.toml", checkout)
    AlembicInProcess(tmp_path)(None, *arguments, ini=ini, error="would become part")
    AlembicInProcess(checkout)(None, *arguments, ini=ini)
    written = (checkout / "migrations" / "versions" / "es_0007_ours.py").read_text()
    assert written.startswith('"""ours.\n\nFrozen')
    assert "down_revision = 'es_0006'" in written


@pytest.mark.needs("server")
def test_our_tables_have_a_schema_of_their_own(
    backend: Backend, engine: Engine, schema: str, alembic: Alembic, ini: Path
) -> None:
    alembic(backend.url, "upgrade", "heads", ini=ini, schema=schema)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert sorted(inspect(engine).get_table_names(schema)) == sorted(metadata.tables)
    allowed = ("-x", "allow-data-loss=yes")
    alembic(backend.url, *allowed, "downgrade", "base", ini=ini, schema=schema)
    assert inspect(engine).get_table_names(schema) == []
