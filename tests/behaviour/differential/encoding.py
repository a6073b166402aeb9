"""Steps whose values are made into something else on their way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, select

from behaviour.differential.steps import count, step
from behaviour.differential.tables import Colour, filled, tenant, values
from behaviour.differential.view import Act
from eventsourcing_alchemy import upsert


@step()
def encrypt(act: Act) -> None:
    tenant.set(f"tenant {act.position % 2}")
    act.execute(upsert(values, {"key": act.key, "secret": f"of {act.position}"}))
    tenant.set("nobody")


@step()
def encrypt_for_two(act: Act) -> None:
    for each in ("one", "two"):
        tenant.set(each)
        act.execute(upsert(values, {"key": act.key + each, "secret": each}))


@step()
def write_what_changes_later(act: Act) -> None:
    document = {"positions": [act.position]}
    row = {"key": act.key, "document": document, "pickled": document}
    act.execute(upsert(values, row))
    document["positions"].append(-1)


@step()
def write_bytes_that_change_later(act: Act) -> None:
    content = bytearray(b"written")
    act.execute(upsert(values, {"key": act.key, "bytes": content}))
    content[:] = b"changed"


class Uncopyable(dict[str, Any]):
    def __deepcopy__(self, _memo: Any) -> Uncopyable:
        raise TypeError("cannot be copied")


@step()
def write_what_cannot_be_copied(act: Act) -> None:
    document = Uncopyable(position=act.position)
    act.execute(upsert(values, {"key": act.key, "document": document}))


@step()
def write_nulls(act: Act) -> None:
    documents: list[Any] = [JSON.NULL, None, {"a": None}]
    document = documents[act.position % 3]
    act.execute(upsert(values, {"key": act.key, "document": document}))
    is_null = select(values.c.document.is_(None)).where(values.c.key == act.key)
    act.note(bool(act.execute(is_null).scalar()))


@step()
def write_other_types(act: Act) -> None:
    colours = [Colour.RED, None, Colour.BLUE]
    row = {
        "key": act.key,
        "colour": colours[act.position % 3],
        "at": datetime(2026, 1, 1 + act.position % 9, 12),
    }
    act.execute(upsert(values, row))


@step()
def write_defaults(act: Act) -> None:
    count(act, filled, f"{act.key}{act.position % 2}")
