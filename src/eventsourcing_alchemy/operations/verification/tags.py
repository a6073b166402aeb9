"""Rows of tags that are not those of the events."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from typing import Any

from sqlalchemy import BigInteger, Row, Select, String, and_, bindparam, or_, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.verification.database import rows, windows
from eventsourcing_alchemy.schema.tables import dcb_events, dcb_tags
from eventsourcing_alchemy.statements.row_mapping import tags_of

PAGE = 5000
"""Rows that a statement returns."""

BUCKET = 1000
"""Positions whose checksums are added up."""

Tag = tuple[int, str | None, str]
"""Position, tag (None for tags that are damaged), and type of the event."""


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
    beyond: set[Tag] = set()
    for tag in _of_events(datastore, application_id, 0, last):
        sums[tag[0] // BUCKET] += _checksum(tag)
    for tag in _in_index(datastore, application_id):
        if tag[0] > last:
            beyond.add(tag)
        else:
            sums[tag[0] // BUCKET] -= _checksum(tag)
    for bucket in sorted(bucket for bucket, total in sums.items() if total):
        # What is appended meanwhile may be on one side only.
        gt, lte = bucket * BUCKET - 1, min((bucket + 1) * BUCKET - 1, last)
        yield from _different(datastore, application_id, name, gt, lte)
    for tag in sorted(_of_nothing(datastore, application_id, beyond), key=_in_order):
        yield Discrepancy(name, tag[0], _of_nothing_problem(tag))


def _different(
    datastore: SQLAlchemyDatastore, application_id: int, name: str, gt: int, lte: int
) -> Iterator[Discrepancy]:
    expected = set(_of_events(datastore, application_id, gt, lte))
    bounds = {"id": application_id, "gt": gt, "lte": lte}
    found = {tuple(row) for row in rows(datastore, _index_between(), **bounds)}
    for tag in sorted(expected ^ found, key=_in_order):
        problem_of = _missing_problem if tag in expected else _of_nothing_problem
        yield Discrepancy(name, tag[0], problem_of(tag))


def _in_order(tag: Tag) -> tuple[int, str, str]:
    return tag[0], tag[1] or "", tag[2]


def _missing_problem(tag: Tag) -> str:
    if tag[1] is None:
        return "has tags that are no JSON array of texts: reads fail there"
    return f"has tag {tag[1]!r}, but es_dcb_tags does not: queries by this tag miss it"


def _of_nothing_problem(tag: Tag) -> str:
    return f"es_dcb_tags has tag {tag[1]!r} of type {tag[2]!r}, but no such event"


def _of_nothing(
    datastore: SQLAlchemyDatastore, application_id: int, tags: set[Tag]
) -> set[Tag]:
    """Those of no event, also of none that was appended since."""
    positions = sorted({tag[0] for tag in tags})
    for start in range(0, len(positions), PAGE):
        some = positions[start : start + PAGE]
        found = rows(datastore, _events_at(), id=application_id, positions=some)
        tags = tags.difference(_tags(found))
    return tags


def _of_events(
    datastore: SQLAlchemyDatastore, application_id: int, gt: int, lte: int
) -> Iterator[Tag]:
    position = dcb_events.c.position
    for window in windows(datastore, position, application_id, gt, lte):
        yield from _tags(rows(datastore, _events_between(), **window))


def _tags(events: Iterable[Row[Any]]) -> Iterator[Tag]:
    for row in events:
        try:
            found = set(tags_of(row.position, row.tags))
        except DataError:
            yield row.position, None, row.type
            continue
        for tag in found:
            yield row.position, tag, row.type


def _in_index(datastore: SQLAlchemyDatastore, application_id: int) -> Iterator[Tag]:
    page = rows(datastore, _first_of_index(), id=application_id)
    while page:
        for row in page:
            yield row.position, row.tag, row.type
        after = page[-1]._asdict()
        page = rows(datastore, _index_after(), id=application_id, **after)


def _checksum(tag: Tag) -> int:
    digest = blake2b("\\0".join(map(str, tag)).encode(), digest_size=8).digest()
    return int.from_bytes(digest)


@cache
def _events() -> Select[Any]:
    columns = dcb_events.c
    return select(columns.position, columns.type, columns.tags).where(
        columns.application_id == bindparam("id", type_=BigInteger)
    )


@cache
def _events_between() -> Select[Any]:
    position = dcb_events.c.position
    return _events().where(
        position > bindparam("gt", type_=BigInteger),
        position <= bindparam("lte", type_=BigInteger),
    )


@cache
def _events_at() -> Select[Any]:
    positions = bindparam("positions", type_=BigInteger, expanding=True)
    return _events().where(dcb_events.c.position.in_(positions))


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
