"""Processes that compete for seats: no seat twice, and a follower misses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from multiprocessing.synchronize import Barrier, Event
from time import sleep

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import IntegrityError

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyDCBRecorder
from factories import OpenFactory, construct_factory
from processes import barrier, clean, in_processes

BOOKERS = 2
"""Beside the slow one."""

BLOCK = 10
"""Seats that are looked at together."""

HELD = 4
"""Seats that are booked by a transaction which stays open while others want them."""

SLOWNESS = 0.1
"""Seconds for which it stays open then."""

PAUSE = 0.02
"""Seconds between two events that are about something else."""

UNRELATED, CURTAIN = "unrelated", "curtain"


def booking(seat: int, name: str) -> DCBEvent:
    return DCBEvent("Booked", b"", [f"seat {seat}", name])


def parts(seats: int) -> list[range]:
    """The last seat of each is the one that somebody is slow to book."""
    size = seats // HELD
    return [range(first, first + size) for first in range(0, seats, size)]


@contextmanager
def theatre(env: Mapping[str, str]) -> Iterator[SQLAlchemyDCBRecorder]:
    with closing(construct_factory("Theatre", env)) as factory:
        yield factory.dcb_recorder()


def book(
    env: Mapping[str, str], start: Barrier, meeting: Barrier, seats: int, name: str
) -> list[int]:
    """Books all seats that are free when they are looked at; those that were got."""
    got: list[int] = []
    with theatre(env) as recorder:
        start.wait()
        for *others, last in parts(seats):
            for first in range(0, len(others), BLOCK):
                got += book_some(recorder, others[first : first + BLOCK], name)
            meeting.wait()  # Everybody is here,
            meeting.wait()  # and the last seat is booked, but not committed.
            got += book_some(recorder, [last], name, meeting.wait)
    return got


def book_some(
    recorder: SQLAlchemyDCBRecorder,
    seats: list[int],
    name: str,
    before_booking: Callable[[], object] = lambda: None,
) -> Iterator[int]:
    queries = {seat: DCBQueryItem(tags=[f"seat {seat}"]) for seat in seats}
    found = recorder.read(DCBQuery(list(queries.values())))
    taken = {each.event.tags[0] for each in found}
    before_booking()
    for seat, item in queries.items():
        if taken.isdisjoint(item.tags):
            condition = DCBAppendCondition(DCBQuery([item]), after=found.head)
            with suppress(IntegrityError):
                recorder.append([booking(seat, name)], condition)
                yield seat


def append_others(env: Mapping[str, str], start: Barrier, over: Event) -> list[int]:
    """Appends what has nothing to do with seats, without a condition."""
    with theatre(env) as recorder:
        start.wait()
        while not over.is_set():
            recorder.append([DCBEvent("Other", b"", [UNRELATED])])
            sleep(PAUSE)
    return []


def book_slowly(
    recorder: SQLAlchemyDCBRecorder, meeting: Barrier, over: Event, seats: int
) -> None:
    """Books a seat now and then, and commits when all others have seen it free."""
    try:
        for *_, last in parts(seats):
            meeting.wait()
            with recorder.transaction():
                recorder.append([booking(last, "slow")])
                meeting.wait()
                meeting.wait()
                sleep(SLOWNESS)
    finally:
        over.set()


def follow(recorder: SQLAlchemyDCBRecorder) -> list[tuple[int, list[str]]]:
    """Positions and tags, up to the curtain."""
    seen = []
    with recorder.subscribe() as subscription:
        for each in subscription:
            seen.append((each.position, each.event.tags))
            if each.event.type == CURTAIN:
                break
    return seen


@pytest.mark.needs(Capability.MVCC)
@pytest.mark.parametrize("seats", [20, pytest.param(1000, marks=pytest.mark.faults)])
def test_no_seat_is_booked_twice(
    env: dict[str, str], open_factory: OpenFactory, seats: int
) -> None:
    recorder = open_factory("Theatre").dcb_recorder()
    start, meeting, over = barrier(BOOKERS + 1), barrier(BOOKERS + 1), clean.Event()
    bookers = [f"booker {number}" for number in range(BOOKERS)]
    calls = [partial(book, env, start, meeting, seats, name) for name in bookers]
    with ThreadPoolExecutor(2) as threads:
        following = threads.submit(follow, recorder)
        booking_slowly = threads.submit(book_slowly, recorder, meeting, over, seats)
        try:
            got = in_processes([*calls, partial(append_others, env, start, over)])
        finally:
            meeting.abort()
            last = recorder.append([DCBEvent(CURTAIN, b"")])
        booking_slowly.result(timeout=30)
        followed = following.result(timeout=30)

    assert [position for position, _ in followed] == list(range(1, last + 1))
    by_seat = {
        int(tags[0].removeprefix("seat ")): tags[1]
        for _, tags in followed
        if tags and tags[0] != UNRELATED
    }
    unrelated = sum(tags == [UNRELATED] for _, tags in followed)
    assert unrelated > 0
    assert last == seats + unrelated + 1, "a seat was booked twice"
    wanted = {
        seat: name for name, each in zip(bookers, got, strict=False) for seat in each
    }
    assert by_seat == {**wanted, **{last: "slow" for *_, last in parts(seats)}}
    assert sum(map(len, got)) == seats - HELD
