"""A view is emptied to whose rows those of other tables refer."""

from __future__ import annotations

from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, ProgrammingError
from sqlalchemy import (
    Column,
    ForeignKey,
    MetaData,
    Table,
    func,
    insert,
    select,
)

from backends import Backend, Capability
from eventsourcing_alchemy import reset
from eventsourcing_alchemy.dialects.mysql import table_switch
from rebuilding.in_use import InUse, connected
from rebuilding.shop import Orders
from rebuilding.test_views import Tree, classes, used

pytestmark = pytest.mark.needs(Capability.SERVER)
"""SQLite checks no foreign keys by default."""


def refer(
    backend: Backend, referred: Column[Any], ondelete: str | None = None
) -> Table:
    """A table with a row that refers to the first one of a view."""
    key = ForeignKey(referred, name="fk_notes", ondelete=ondelete)
    notes = Table("notes", MetaData(), Column("number", key))
    first = select(func.min(referred)).scalar_subquery()
    with connected(backend) as connection:
        notes.create(connection)
        connection.execute(insert(notes).values(number=first))
        connection.commit()
    return notes


def references(backend: Backend, notes: Table) -> int:
    """Counts the rows that refer to one of the view, as all must."""
    (key,) = notes.foreign_keys
    is_its = notes.c.number == key.column
    joined = select(func.count()).select_from(notes).join(key.column.table, is_its)
    with connected(backend) as connection:
        counted = connection.scalar(select(func.count()).select_from(notes))
        assert connection.scalar(joined) == counted
        return int(counted or 0)


def test_is_refused(in_use: InUse, backend: Backend) -> None:
    before = in_use.content()
    notes = refer(backend, Orders.orders.c.id)
    with pytest.raises(IntegrityError, match="fk_notes"):
        in_use.reset()
    assert references(backend, notes) == 1
    assert in_use.content() == before


@pytest.mark.needs(Capability.IMPLICIT_COMMIT)
def test_keys_that_the_role_does_not_see(
    in_use: InUse, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a database on which it has no rights."""
    notes = refer(backend, Orders.orders.c.id)
    monkeypatch.setattr(table_switch, "_foreign_keys_of_others", lambda *_: ())
    with pytest.raises(IntegrityError, match="fk_notes"):
        in_use.reset()
    assert references(backend, notes) == 1


def test_cascade(in_use: InUse, backend: Backend) -> None:
    notes = refer(backend, Orders.orders.c.id, "CASCADE")
    in_use.reset()
    assert references(backend, notes) == 0
    assert in_use.content() == []


def test_tables_that_refer_to_each_other(env: dict[str, str], backend: Backend) -> None:
    before = used(env, Tree, 3)
    notes = refer(backend, Tree.metadata.tables["Nodes"].c.number)
    with pytest.raises((IntegrityError, ProgrammingError), match="fk_notes"):
        reset(**classes(env, Tree))
    assert references(backend, notes) == 1
    with connected(backend) as connection:
        notes.drop(connection)
        connection.commit()
    reset(**classes(env, Tree))
    assert len(used(env, Tree, 1)) == len(before) // 3 * 4
