"""Rows of tags that are not those of the events."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import BigInteger, Select, String, and_, bindparam, or_, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.verification.database import rows, windows
from eventsourcing_alchemy.schema.tables import dcb_events, dcb_tags

PAGE = 5000
"""Rows that a statement returns."""

BUCKET = 1000
"""Positions whose checksums are added up."""

Tag = tuple[int, str, str]
"""Position, tag, and type of the event."""


def wrong_tags(
    datastore: SQLAlchemyDatastore, application_id: int, name: str, last: int
) -> Iterator[Discrepancy]:
    """Tags of events that cannot be found by them, and rows of tags that are wrong.

    Each side is read once, in the order of its own index, and the checksums of what
    belongs to some positions are added up. What differs is read again.

    Args:
        datastore: the database.
        application_id: whose they are.
        name: of the application.
        last: position of its last event.
    """
    sums: Counter[int] = Counter()
    for tag in _of_events(datastore, application_id, 0, last):
        sums[tag[0] // BUCKET] += _checksum(tag)
    for tag in _in_index(datastore, application_id, last):
        sums[tag[0] // BUCKET] -= _checksum(tag)
    for bucket in sorted(bucket for bucket, total in sums.items() if total):
        # What is appended meanwhile may be on one side only.
        gt, lte = bucket * BUCKET - 1, min((bucket + 1) * BUCKET - 1, last)
        yield from _different(datastore, application_id, name, gt, lte)


def _different(
    datastore: SQLAlchemyDatastore, application_id: int, name: str, gt: int, lte: int
) -> Iterator[Discrepancy]:
    expected = set(_of_events(datastore, application_id, gt, lte))
    bounds = {"id": application_id, "gt": gt, "lte": lte}
    found = {tuple(row) for row in rows(datastore, _index_between(), **bounds)}
    for position, tag, type_ in sorted(expected ^ found):
        is_missing = (position, tag, type_) in expected
        problem = (
            f"has tag {tag!r}, but es_dcb_tags does not: queries by this tag miss it"
            if is_missing
            else f"es_dcb_tags has tag {tag!r} of type {type_!r}, but no such event"
        )
        yield Discrepancy(name, position, problem)


def _of_events(
    datastore: SQLAlchemyDatastore, application_id: int, gt: int, lte: int
) -> Iterator[Tag]:
    for window in windows(gt, lte):
        for row in rows(datastore, _events_between(), id=application_id, **window):
            for tag in set(json.loads(row.tags)):
                yield row.position, tag, row.type


def _in_index(
    datastore: SQLAlchemyDatastore, application_id: int, last: int
) -> Iterator[Tag]:
    page = rows(datastore, _first_of_index(), id=application_id)
    while page:
        for row in page:
            if row.position <= last:
                yield row.position, row.tag, row.type
        after = page[-1]._asdict()
        page = rows(datastore, _index_after(), id=application_id, **after)


def _checksum(tag: Tag) -> int:
    digest = blake2b("\\0".join(map(str, tag)).encode(), digest_size=8).digest()
    return int.from_bytes(digest)


@cache
def _events_between() -> Select[Any]:
    columns = dcb_events.c
    return select(columns.position, columns.type, columns.tags).where(
        columns.application_id == bindparam("id", type_=BigInteger),
        columns.position > bindparam("gt", type_=BigInteger),
        columns.position <= bindparam("lte", type_=BigInteger),
    )


@cache
def _index_between() -> Select[Any]:
    columns = dcb_tags.c
    return select(columns.position, columns.tag, columns.type).where(
        columns.application_id == bindparam("id", type_=BigInteger),
        columns.position > bindparam("gt", type_=BigInteger),
        columns.position <= bindparam("lte", type_=BigInteger),
    )


@cache
def _first_of_index() -> Select[Any]:
    columns = dcb_tags.c
    return (
        select(columns.position, columns.tag, columns.type)
        .where(columns.application_id == bindparam("id", type_=BigInteger))
        .order_by(columns.tag, columns.position, columns.type)
        .limit(PAGE)
    )


@cache
def _index_after() -> Select[Any]:
    columns = dcb_tags.c
    tag = bindparam("tag", type_=String)
    position = bindparam("position", type_=BigInteger)
    later = or_(
        columns.tag > tag,
        columns.position > position,
        and_(
            columns.position == position,
            columns.type > bindparam("type", type_=String),
        ),
    )
    return _first_of_index().where(columns.tag >= tag, later)
