"""Events with tags: queries of any shape, conditions, and those who compete."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from threading import Barrier
from time import monotonic
from typing import Any
from uuid import uuid4

import pymysql
import pytest
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBRecorder,
)
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    Tracking,
)
from sqlalchemy import Engine, make_url, select

from backends import Backend, Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import SQLAlchemyFactory
from eventsourcing_alchemy.dialects.base.dcb_appending import Append
from eventsourcing_alchemy.recorders import dcb
from eventsourcing_alchemy.recorders.dcb import SQLAlchemyDCBRecorder
from eventsourcing_alchemy.schema.tables import dcb_events
from eventsourcing_alchemy.subscriptions import dcb_reader, following
from factories import OpenFactory

pytestmark = pytest.mark.observed

HOSTILE = ["a", "A", "a ", " a", "ä", "😀" * 255, "x" * 255, "%s", "'", '"', "\\", ""]


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyDCBRecorder:
    return factory.dcb_recorder()


def event(*tags: str, type_: str = "T", data: bytes = b"data") -> DCBEvent:
    return DCBEvent(type_, data, list(tags))


def item(*tags: str, types: Sequence[str] = ()) -> DCBQueryItem:
    return DCBQueryItem(list(types), list(tags))


def query(*items: DCBQueryItem) -> DCBQuery:
    return DCBQuery(list(items))


def unless(*items: DCBQueryItem, after: int | None = None) -> DCBAppendCondition:
    return DCBAppendCondition(query(*items), after)


def long_names(count: int) -> list[str]:
    """Of 1,005 bytes each."""
    return [f"{number:05}" + 250 * "\N{GRINNING FACE}" for number in range(count)]


def positions(
    recorder: DCBRecorder, asked: DCBQuery | None = None, **bounds: int | None
) -> list[int]:
    return [each.position for each in recorder.read(asked, **bounds)]


class TestNames:
    def test_are_kept_apart(self, recorder: SQLAlchemyDCBRecorder) -> None:
        for name in HOSTILE:
            recorder.append([event(name, type_=name, data=name.encode())])
        for position, name in enumerate(HOSTILE, 1):
            assert positions(recorder, query(item(name))) == [position]
            assert positions(recorder, query(item(types=[name]))) == [position]
        found = [each.event for each in recorder.read()]
        assert found == [event(n, type_=n, data=n.encode()) for n in HOSTILE]

    def test_tags_return_as_they_were_given(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        given = event("b", "a", "b", "ä")
        recorder.append([given, event()])
        first, second = recorder.read()
        assert first.event == given
        assert second.event.tags == []
        assert positions(recorder, query(item("b", "b"))) == [1]

    def test_data_that_is_a_view(self, recorder: SQLAlchemyDCBRecorder) -> None:
        """Its length is not the number of its bytes."""
        view = memoryview(array("I", range(5)))
        recorder.append([event(data=view), event("a", data=view)])  # type: ignore[arg-type]
        assert [each.event.data for each in recorder.read()] == 2 * [bytes(view)]

    @pytest.mark.parametrize("tag", ["x" * 256, "a\0b", "\ud800"])
    def test_what_does_not_fit_is_refused(
        self, recorder: SQLAlchemyDCBRecorder, tag: str
    ) -> None:
        for refused in (event(tag), event(type_=tag)):
            with pytest.raises(DataError):
                recorder.append([event("fits"), refused])
        with pytest.raises(DataError):
            recorder.read(query(item(tag)))
        assert recorder.head() is None

    @pytest.mark.parametrize("tags", ["ab", {"a"}, None])
    def test_what_is_no_list_is_refused(
        self, recorder: SQLAlchemyDCBRecorder, tags: Any
    ) -> None:
        """One text is a sequence of letters."""
        with pytest.raises(DataError, match=r"tags is .*: expected a list of strings"):
            recorder.append([DCBEvent("T", b"", tags)])
        for items in DCBQueryItem([], tags), DCBQueryItem(tags, []):
            with pytest.raises(DataError, match=r"s is .*: expected a list of strings"):
                recorder.read(query(items))
        assert recorder.head() is None

    def test_what_is_iterated_once(self, recorder: SQLAlchemyDCBRecorder) -> None:
        events: Any = (event(tag) for tag in "ab")
        items: Any = (item(tag) for tag in "b")
        assert recorder.append(events) == 2
        assert positions(recorder, DCBQuery(items)) == [2]
        assert positions(recorder, after=True) == [2]

    def test_state_of_no_bytes_is_refused(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        data: Any = "secret"
        with pytest.raises(DataError) as refused:
            recorder.append([event(data=data)])
        assert "secret" not in str(refused.value)


def random_query(random: Random) -> DCBQuery:
    def names(letters: str, most: int) -> list[str]:
        return [random.choice(letters) for _ in range(random.randint(0, most))]

    return query(
        *(
            DCBQueryItem(names("TUV", 2), names("abcdefg", 7))
            if random.random() < 0.3
            else DCBQueryItem(names("TUV", 2), names("abc", 2))
            for _ in range(random.randint(0, 4))
        )
    )


class TestQueries:
    """As the host's recorder in memory answers them."""

    def test_of_every_shape(
        self, recorder: SQLAlchemyDCBRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dcb_reader, "PAGE", 5)
        random, expected = Random(13), InMemoryDCBRecorder()  # noqa: S311
        for _ in range(60):
            tags = random.sample("abcdefg", random.randint(0, 7))
            events = [event(*tags, type_=random.choice("TUV"))]
            assert recorder.append(events) == expected.append(events)
        for _ in range(60):
            asked = random_query(random)
            bounds = {
                "after": random.choice([None, 0, 10, 59, 60, 61]),
                "limit": random.choice([None, 0, 1, 3, 5, 6, 100]),
            }
            found = recorder.read(asked, **bounds)
            wanted = expected.read(asked, **bounds)
            assert list(found) == list(wanted), (asked, bounds)
            assert found.head == wanted.head, (asked, bounds)

    def test_of_a_hundred_items(self, recorder: SQLAlchemyDCBRecorder) -> None:
        recorder.append([event(str(n)) for n in range(250)])
        asked = query(*(item(str(n)) for n in range(100)))
        assert positions(recorder, asked) == list(range(1, 101))
        more = query(*(item(str(n), types=["T"]) for n in range(240)))
        assert positions(recorder, more, limit=230) == list(range(1, 231))
        assert positions(recorder, more, after=230, limit=3) == [231, 232, 233]
        with pytest.raises(IntegrityError, match="position 11 "):
            recorder.append([event()], DCBAppendCondition(more, after=10))

    def test_of_a_thousand_tags(self, recorder: SQLAlchemyDCBRecorder) -> None:
        tags = [str(n) for n in range(1000)]
        recorder.append([event(*tags), event(*tags[:999])])
        assert positions(recorder, query(item(*tags))) == [1]
        assert positions(recorder, query(item(*tags[:999]))) == [1, 2]

    def test_condition_of_thousands_of_items(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        """PostgreSQL would plan one statement for a minute."""
        recorder.append([event("a")])
        recorder.append([event("b")])
        others = [item(str(number)) for number in range(3000)]
        began = monotonic()
        with pytest.raises(IntegrityError, match="position 2 "):
            recorder.append([event()], unless(*others, item("b"), after=1))
        assert recorder.append([event()], unless(*others, item("b"), after=2)) == 3
        assert recorder.append([event()], unless(*others)) == 4
        assert monotonic() - began < 30  # On a busy machine.

    def test_that_is_too_long(self, recorder: SQLAlchemyDCBRecorder) -> None:
        asked = query(item(*map(str, range(30_001))))
        with pytest.raises(ProgrammingError, match="30001 types and tags"):
            recorder.read(asked)

    @pytest.mark.needs(Capability.LIMITED_PACKETS)
    def test_that_is_larger_than_a_packet(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        """Types are divided among statements."""
        types = long_names(17_000)
        asked = item("a", types=[*types, "T"])
        assert sum(len(each.encode()) for each in types) > 2**24
        recorder.append([event("a"), event("b")])
        assert [each.position for each in recorder.read(query(asked))] == [1]
        with pytest.raises(IntegrityError, match="position 1 "):
            recorder.append([event()], unless(asked))

    def test_tags_that_are_too_long(self, recorder: SQLAlchemyDCBRecorder) -> None:
        tags = long_names(1_100)
        with pytest.raises(ProgrammingError, match="1,105,500 bytes: at most 1,100,0"):
            recorder.read(query(item(*tags)))

    def test_read_goes_as_far_as_its_head(
        self, recorder: SQLAlchemyDCBRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dcb_reader, "PAGE", 2)
        recorder.append([event("a") for _ in range(5)])
        found = recorder.read(query(item("a")))
        assert next(found).position == 1
        recorder.append([event("a")])
        assert [each.position for each in found] == [2, 3, 4, 5]
        assert found.head == 5

    @pytest.mark.parametrize("bounds", [{"after": -1}, {"limit": -1}])
    def test_bounds(
        self, recorder: SQLAlchemyDCBRecorder, bounds: dict[str, Any]
    ) -> None:
        with pytest.raises(ProgrammingError, match="-1"):
            recorder.read(**bounds)


class TestAppend:
    def test_without_events(self, recorder: SQLAlchemyDCBRecorder) -> None:
        with pytest.raises(ProgrammingError, match="without events"):
            recorder.append([])

    def test_condition_leaves_nothing_behind(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        recorder.append([event("a")])
        with pytest.raises(IntegrityError, match="position 1 of application"):
            recorder.append([event("b")], unless(item("a")))
        assert recorder.append([event("c")], unless(item("a"), after=1)) == 2
        assert positions(recorder) == [1, 2]

    def test_of_many(self, recorder: SQLAlchemyDCBRecorder) -> None:
        events = [event(str(n), "all", type_=f"T{n}") for n in range(300)]
        assert recorder.append(events) == 300
        assert [each.event for each in recorder.read()] == events
        assert positions(recorder, query(item("7", "all"))) == [8]

    @pytest.mark.needs(Capability.SHARED)
    def test_joins_a_transaction(self, open_factory: OpenFactory) -> None:
        recorder = open_factory().dcb_recorder()
        other = open_factory("other").dcb_recorder()
        tracker = open_factory("projection").tracking_recorder()
        with recorder.transaction():
            assert recorder.append([event("a")]) == 1
            assert recorder.append([event("b")], unless(item("b"))) == 2
            assert other.append([event("c")]) == 1
            tracker.insert_tracking(Tracking("upstream", 1))
        assert positions(recorder, query(item("b"))) == [2]

        def fail() -> None:
            with recorder.transaction():
                recorder.append([event("d")])
                other.append([event("d")])
                tracker.insert_tracking(Tracking("upstream", 2))
                raise DeliberateError

        with pytest.raises(DeliberateError):
            fail()
        assert (recorder.head(), other.head()) == (2, 1)
        assert tracker.max_tracking_id("upstream") == 1

    def test_condition_that_fails_in_a_transaction(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        recorder.append([event("a")])

        def append_both() -> None:
            with recorder.transaction():
                recorder.append([event("b")])
                recorder.append([event("c")], unless(item("a")))

        with pytest.raises(IntegrityError):
            append_both()
        assert positions(recorder) == [1]

    @pytest.mark.needs(Capability.SHARED)
    def test_threads_get_each_their_own_outcome(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        """Of those who share a transaction, too."""
        start = Barrier(8)

        def book(number: int) -> int | str:
            start.wait(10)
            taken = [event(f"seat {number % 2}", data=str(number).encode())]
            try:
                return recorder.append(taken, unless(item(f"seat {number % 2}")))
            except IntegrityError:
                return "refused"

        for _ in range(5):
            before = recorder.head() or 0
            with ThreadPoolExecutor(8) as threads:
                calls = [threads.submit(book, n) for n in range(8)]
                found = [call.result(timeout=30) for call in calls]
            if before == 0:
                assert sorted(x for x in found if x != "refused") == [1, 2]
                assert found.count("refused") == 6
            else:
                assert found == ["refused"] * 8
        stored = list(recorder.read())
        assert [each.position for each in stored] == [1, 2]
        winners = [str(n).encode() for n, each in enumerate(found) if each]
        assert {each.event.data for each in stored} <= set(winners)

    @pytest.mark.needs(Capability.SHARED)
    def test_what_a_thread_appends_counts_for_the_next_of_its_group(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        dialect, notifies = recorder.datastore.dialect, False
        group = [
            append([event("a")]),
            append([event("b"), event("c")], unless(item("a"))),
            append([event("b")], unless(item("a"), after=1)),
            append([event("d")], unless(item("b"), after=2)),
        ]
        with recorder.datastore.writing() as executor:
            dialect.wait_for_turn(executor, recorder._application)
            outcomes = dialect.append_dcb_group(
                executor, recorder._application, group, notify=notifies
            )
        assert [each for each in outcomes if isinstance(each, int)] == [1, 2, 3]
        assert isinstance(outcomes[1], IntegrityError)
        assert [each.event.tags for each in recorder.read()] == [["a"], ["b"], ["d"]]

    @pytest.mark.needs(Capability.SHARED)
    def test_those_who_share_a_commit_get_each_their_own_outcome(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        """In whatever order: each condition holds when its events are stored."""
        recorder.append([event("a"), event("b")])
        group = [
            append([event("new"), event("c")], unless(item("c"), item(types=["U"]))),
            append([event("d")], unless(item("a"), after=0)),
            append([event("d")], unless(item("a"), after=1)),
            append([event("e")]),
            append([event("c")], unless(item("c"))),
            append([event("f")], unless(item(types=["U"]), item("e", "a"))),
            append([event("g")], unless()),
        ]
        outcomes = recorder._append_all(group)
        refused = [n for n, each in enumerate(outcomes) if not isinstance(each, int)]
        assert refused == [1, 4, 6]
        assert all(isinstance(outcomes[n], IntegrityError) for n in refused)
        assert sorted(each for each in outcomes if isinstance(each, int)) == [
            4,
            5,
            6,
            7,
        ]
        stored = {each.position: each.event.tags[0] for each in recorder.read(after=2)}
        last = [stored[each] for each in outcomes if isinstance(each, int)]
        assert last == ["c", "d", "e", "f"]
        assert recorder.head() == 7

    @pytest.mark.needs(Capability.MVCC)
    def test_those_who_share_a_commit_wait_together(
        self, recorder: SQLAlchemyDCBRecorder, open_factory: OpenFactory
    ) -> None:
        """And see what they have waited for."""
        rival = open_factory(recorder.name).dcb_recorder()
        group = [append([event(tag)], unless(item(tag))) for tag in "abc"]
        with ThreadPoolExecutor(1) as threads:
            with rival.transaction():
                rival.append([event("b")])
                waiting = threads.submit(recorder._append_all, group)
                assert not waiting.done()
            outcomes = waiting.result(timeout=30)
        assert [outcomes[0], outcomes[2]] == [2, 3]
        assert isinstance(outcomes[1], IntegrityError)


def append(
    events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
) -> Append:
    return Append(uuid4(), events, dcb._checked_condition(condition))


@pytest.mark.needs(Capability.MVCC)
def test_condition_waits_for_who_is_about_to_commit(open_factory: OpenFactory) -> None:
    """What it has stored is not seen yet when the condition is first looked at."""
    first, second = open_factory().dcb_recorder(), open_factory().dcb_recorder()
    first.append([event("opened")])
    with ThreadPoolExecutor(1) as threads:
        with first.transaction():
            first.append([event("seat")])
            condition = unless(item("seat"), after=1)
            waiting = threads.submit(second.append, [event("seat")], condition)
            assert not waiting.done()
        with pytest.raises(IntegrityError, match="position 2 "):
            waiting.result(timeout=30)
    assert positions(first) == [1, 2]


@pytest.mark.needs(Capability.SERVER)
@pytest.mark.parametrize("tags", [[], ["a"], ["a", "b", "c", "d", "e", "f"]])
@pytest.mark.parametrize("types", [[], ["T"]])
def test_condition_sees_more_than_the_transaction_has_seen(
    recorder: SQLAlchemyDCBRecorder, engine: Engine, tags: list[str], types: list[str]
) -> None:
    """In REPEATABLE READ, that is an error at the latest where positions are taken."""
    asked = query(item(*tags, types=types))
    options = {"isolation_level": "REPEATABLE READ"}
    with engine.execution_options(**options).connect() as connection:
        assert connection.scalar(select(dcb_events.c.position)) is None
        recorder.append([event("a", "b", "c", "d", "e", "f")])
        with (
            pytest.raises((IntegrityError, OperationalError)),
            recorder.transaction(connection),
        ):
            recorder.append([event()], DCBAppendCondition(asked))
        connection.rollback()
    assert positions(recorder) == [1]


@pytest.mark.needs(Capability.LIMITED_PACKETS)
def test_events_too_large_are_refused_at_once(recorder: SQLAlchemyDCBRecorder) -> None:
    with recorder.reading() as connection:
        limit = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    tags = [str(number).zfill(255) for number in range(limit // 255)]
    for refused in event(data=bytes(limit)), event(*tags):
        with pytest.raises(DataError, match="max_allowed_packet of the server is"):
            recorder.append([event(), refused])
    fits = event(data=bytes(limit // 2 - 2**15))
    assert recorder.append([fits]) == 1


@pytest.mark.needs(Capability.LIMITED_PACKETS)
def test_driver_that_counts_changed_rows_alone(
    open_factory: OpenFactory, backend: Backend, topic_of: Callable[[object], str]
) -> None:
    """SQLAlchemy has it count those found: `CLIENT.FOUND_ROWS`."""
    url = make_url(backend.url)

    def connect() -> Any:
        return pymysql.connect(
            host=url.host, user=url.username, port=url.port or 0, database=url.database
        )

    topic = topic_of(connect)
    factory = open_factory(SQLALCHEMY_CONNECTION_CREATOR_TOPIC=topic)
    recorder = factory.dcb_recorder()
    group = [append([event("a")]), append([event("b")], unless(item("b")))]
    assert recorder._append_all(group) == [1, 2]
    assert recorder._append_again(append([event("c")]), 0) == 3


class TestSubscription:
    def test_position_moves_past_what_the_query_leaves_out(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        recorder.append([event("a"), *(event("b") for _ in range(9))])
        with recorder.subscribe(query(item("a"))) as subscription:
            assert next(subscription).position == 1
            assert subscription.look(0) is None
            assert subscription.position == 10
            recorder.append([event("a")])
            assert next(subscription).position == 11

    def test_pages(
        self, recorder: SQLAlchemyDCBRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "PAGE", 3)
        recorder.append([event("ab"[n % 2]) for n in range(20)])
        with recorder.subscribe(query(item("a")), after=4) as subscription:
            found = [next(subscription).position for _ in range(8)]
        assert found == list(range(5, 20, 2))

    @pytest.mark.needs(Capability.MVCC)
    def test_does_not_see_what_may_be_rolled_back(
        self, recorder: SQLAlchemyDCBRecorder
    ) -> None:
        with recorder.subscribe() as subscription:
            with suppress(DeliberateError), recorder.transaction():
                recorder.append([event("a"), event("b")])
                assert subscription.look(0) is None
                raise DeliberateError
            recorder.append([event("c")])
            assert next(subscription).event.tags == ["c"]

    def test_beyond_the_end(self, recorder: SQLAlchemyDCBRecorder) -> None:
        with pytest.raises(ProgrammingError, match="gt is 1, but the last position"):
            recorder.subscribe(after=1)
