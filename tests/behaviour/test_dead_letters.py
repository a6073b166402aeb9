"""Dead letters: recorded with the tracking, processed later, once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import (
    AggregateNotFoundError,
    Application,
    ProcessingEvent,
)
from eventsourcing.domain import Aggregate, DomainEventProtocol
from eventsourcing.domain import event as decorated
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    PersistenceError,
    ProgrammingError,
    Tracking,
)
from eventsourcing.projection import EventSourcedProjection, Projection
from eventsourcing.utils import Environment, get_topic
from sqlalchemy import Column, MetaData, String, Table, event, insert, select, text

from backends import Capability
from behaviour.workers import DeliberateError, new_events
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.errors import LONGEST_TEXT, LockTimeoutError, text_of
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.schema.tables import events, tracking
from factories import OpenFactory

TOPIC = get_topic(Aggregate.Created)


class Effects(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    effects = Table("effects", metadata, Column("id", String(36), nullable=False))

    def add(self, originator_id: UUID, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            connection.execute(insert(self.effects).values(id=str(originator_id)))

    def found(self) -> list[str]:
        with self.reading() as connection:
            return list(connection.scalars(select(self.effects.c.id)))


class EffectsProjection(Projection[Effects]):
    """Fails after it has done its work, until it is mended."""

    name = "effects"
    is_mended = False

    def process_event(self, domain_event: Aggregate.Event, tracking: Tracking) -> None:
        self.view.add(domain_event.originator_id, tracking)
        self.then()

    def then(self) -> None:
        if not self.is_mended:
            raise DeliberateError("as ever")


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Application[UUID]]:
    """An application that has recorded three events."""
    with Application[UUID]({**os.environ, **env}) as application:
        for _ in range(3):
            application.save(Aggregate())
        yield application


@pytest.fixture
def view(open_factory: OpenFactory) -> Effects:
    return open_factory(EffectsProjection.name).tracking_recorder(Effects)


@pytest.fixture
def letters(view: Effects) -> DeadLetters:
    return DeadLetters(view)


@pytest.fixture
def projection(view: Effects) -> EffectsProjection:
    return EffectsProjection(view)


@pytest.fixture
def letter(letters: DeadLetters, view: Effects) -> DeadLetter:
    """Of the second of the three events; the third is processed already."""
    letters.record(Tracking("Application", 2), TOPIC, DeliberateError("x"), 3)
    view.insert_tracking(Tracking("Application", 3))
    return letters.select()[0]


def begin_anew(view: Effects, application_name: str) -> None:
    with view.transaction() as connection:
        connection.execute(tracking.delete(), execution_options=view.datastore.options)
    view.known.expect(application_name, 0)


class TestRecord:
    def test_all_of_it_is_stored(self, letters: DeadLetters, view: Effects) -> None:
        letters.record(Tracking("upstream", 7), "topic", DeliberateError("why"), 3)
        assert view.max_tracking_id("upstream") == 7
        (letter,) = letters.select()
        assert letter.error.endswith("DeliberateError: why")
        assert abs(datetime.now(UTC) - letter.recorded_at) < timedelta(minutes=1)
        assert letter.recorded_at.utcoffset() == timedelta(0)
        values = ("effects", "upstream", 7, "topic", letter.error, 3)
        assert letter == DeadLetter(*values, letter.recorded_at, letter.traceback)
        assert (letter.originator_id, letter.originator_version) == (None, None)
        assert "DeliberateError: why" in str(letter.traceback)
        assert "Traceback" not in repr(letter)

    @pytest.mark.parametrize(
        ("originator_id", "stored"),
        [
            (UUID(int=7), str(UUID(int=7))),
            ("🙂 '\";--", "🙂 '\";--"),
            ("x\0\ud83d", "x\\x00\\ud83d"),
            ("x" * 256, None),
        ],
        ids=ascii,
    )
    def test_with_its_aggregate(
        self, letters: DeadLetters, originator_id: UUID | str, stored: str | None
    ) -> None:
        letters.record(
            Tracking("upstream", 7),
            "topic",
            ValueError(),
            1,
            originator_id=originator_id,
            originator_version=2**63 - 1,
        )
        (letter,) = letters.select()
        assert letter.originator_id == stored
        assert letter.originator_version == 2**63 - 1

    def test_what_is_tracked_already_is_refused(
        self, letters: DeadLetters, view: Effects
    ) -> None:
        view.insert_tracking(Tracking("upstream", 7))
        for position in (7, 6):
            with pytest.raises(IntegrityError, match="has already processed"):
                letters.record(Tracking("upstream", position), "t", ValueError(), 1)
        assert letters.select() == []

    def test_both_or_nothing(self, letters: DeadLetters, view: Effects) -> None:
        """What fails right after the insert takes the tracking with it."""
        engine = view.datastore.engine

        def fail(*arguments: Any) -> None:
            if "INSERT INTO es_dead_letters" in arguments[2]:
                raise DeliberateError

        event.listen(engine, "after_cursor_execute", fail)
        with pytest.raises(DeliberateError):
            letters.record(Tracking("upstream", 7), "topic", ValueError(), 3)
        event.remove(engine, "after_cursor_execute", fail)
        assert letters.select() == []
        assert view.max_tracking_id("upstream") is None

    def test_in_the_transaction_of_the_caller(
        self, letters: DeadLetters, view: Effects
    ) -> None:
        with suppress(DeliberateError), view.transaction():
            letters.record(Tracking("upstream", 7), "topic", ValueError(), 3)
            assert len(letters.select()) == 1
            raise DeliberateError
        assert letters.select() == []
        assert view.max_tracking_id("upstream") is None

    def test_a_projection_that_began_anew_records_it_again(
        self, letters: DeadLetters, view: Effects
    ) -> None:
        for attempts in (1, 2):
            letters.record(Tracking("a", 7), "t", ValueError(attempts), attempts)
            begin_anew(view, "a")
        (letter,) = letters.select()
        assert (letter.error, letter.attempts) == ("ValueError: 2", 2)

    def test_what_does_not_fit_is_refused(
        self, letters: DeadLetters, view: Effects
    ) -> None:
        for application, topic in (("a", "t" * 1025), ("x" * 256, "t"), ("a", "\0")):
            with pytest.raises(DataError):
                letters.record(Tracking(application, 1), topic, ValueError(), 1)
        assert view.max_tracking_id("a") is None


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise DeliberateError


class TestErrorTexts:
    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (ValueError("why"), "ValueError: why"),
            (ValueError(), "ValueError"),
            (ValueError("a\0b"), "ValueError: a\\x00b"),
            (ValueError("\ud83d \udc00"), "ValueError: \\ud83d \\udc00"),
            (
                ValueError("%(x)s %s :y ? '\";--\\"),
                "ValueError: %(x)s %s :y ? '\";--\\",
            ),
            (ValueError("é\n🙂\uffff"), "ValueError: é\n🙂\uffff"),
            (ValueError("🙂" * 10**6), f"ValueError: {'🙂' * (LONGEST_TEXT - 12)}"),
            (
                ValueError("\0" * 10**6),
                ("ValueError: " + "\\x00" * LONGEST_TEXT)[:LONGEST_TEXT],
            ),
            (KeyboardInterrupt(), "KeyboardInterrupt"),
        ],
        ids=lambda value: ascii(value)[:20],
    )
    def test_are_stored(
        self, letters: DeadLetters, error: BaseException, text: str
    ) -> None:
        letters.record(Tracking("upstream", 1), "topic", error, 1)
        assert letters.select()[0].error == text == text_of(error)

    def test_may_be_unprintable(self, letters: DeadLetters) -> None:
        letters.record(Tracking("upstream", 1), "topic", UnprintableError(), 1)
        assert "UnprintableError" in letters.select()[0].error


class TestSelect:
    def test_in_the_order_of_applications_and_positions(
        self, letters: DeadLetters
    ) -> None:
        for name, position in (("b", 2), ("a", 9), ("b", 10), ("a", 10), ("B", 1)):
            letters.record(Tracking(name, position), "topic", ValueError(), 1)
        expected = [("B", 1), ("a", 9), ("a", 10), ("b", 2), ("b", 10)]
        assert keys(letters.select()) == expected
        assert keys(letters.select(limit=2)) == expected[:2]
        assert keys(letters.select("b")) == expected[3:]
        assert keys(letters.select("b", limit=1)) == expected[3:4]
        assert letters.select("nobody") == letters.select(limit=0) == []
        assert [letters.count(), letters.count("b"), letters.count("c")] == [5, 2, 0]
        with pytest.raises(ProgrammingError, match="limit is -1"):
            letters.select(limit=-1)

    @pytest.mark.needs(Capability.SHARED)
    def test_projections_do_not_mix(self, open_factory: OpenFactory) -> None:
        names = ["p", "P", "p ", "%(x)s :y ?", "'\";--\\", "🙂" * 255]
        of = {
            name: DeadLetters(open_factory(name).tracking_recorder()) for name in names
        }
        for name in names:
            for upstream in names:
                of[name].record(Tracking(upstream, 1), name, ValueError(), 1)
        for name in names:
            assert keys(of[name].select()) == [(each, 1) for each in sorted(names)]
            assert {each.projection_name for each in of[name].select()} == {name}
            assert keys(of[name].select(name)) == [(name, 1)]
        of["p"].discard(of["p"].select("p")[0])
        assert [len(of[name].select()) for name in names] == [5, 6, 6, 6, 6, 6]


def keys(letters: list[DeadLetter]) -> list[tuple[str, int]]:
    return [(each.application_name, each.notification_id) for each in letters]


class TestDiscard:
    def test_the_event_stays_passed_over(
        self, letters: DeadLetters, letter: DeadLetter, view: Effects
    ) -> None:
        letters.discard(letter)
        assert letters.select() == []
        with pytest.raises(IntegrityError):
            view.insert_tracking(letter.tracking)

    def test_what_is_gone_is_an_error(
        self, letters: DeadLetters, letter: DeadLetter
    ) -> None:
        letters.discard(letter)
        with pytest.raises(ProgrammingError, match="'effects' for position 2 of 'App"):
            letters.discard(letter)

    def test_in_the_transaction_of_the_caller(
        self, letters: DeadLetters, letter: DeadLetter, view: Effects
    ) -> None:
        with suppress(DeliberateError), view.transaction():
            letters.discard(letter)
            raise DeliberateError
        assert letters.select() == [letter]


class TestRetry:
    def test_the_event_is_processed_after_all(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
    ) -> None:
        projection.is_mended = True
        letters.retry(letter, application, projection)
        (second,) = application.recorder.select_notifications(2, 1)
        assert projection.view.found() == [str(second.originator_id)]
        assert letters.select() == []
        assert projection.view.max_tracking_id("Application") == 3
        with pytest.raises(IntegrityError):
            projection.view.insert_tracking(letter.tracking)

    def test_a_failure_is_counted_and_undone(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
    ) -> None:
        for attempts in (4, 5):
            with pytest.raises(DeliberateError, match="as ever"):
                letters.retry(letter, application, projection)
            (found,) = letters.select()
            assert found.attempts == attempts
            assert found.error.endswith("DeliberateError: as ever")
            assert "in process_event" in str(found.traceback)
            assert found.recorded_at == letter.recorded_at
            assert projection.view.found() == []
        projection.is_mended = True
        letters.retry(letter, application, projection)
        assert len(projection.view.found()) == 1

    def test_what_is_gone_is_an_error(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
    ) -> None:
        letters.discard(letter)
        projection.is_mended = True
        with pytest.raises(ProgrammingError, match="'effects' for position 2 of 'App"):
            letters.retry(letter, application, projection)
        assert projection.view.found() == []

    @pytest.mark.parametrize("succeeds", [True, False])
    def test_of_two_at_once_one_has_effects(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        view: Effects,
        succeeds: bool,
    ) -> None:
        """The second waits for the outcome of the first."""
        entered, go_on = Event(), Event()

        class Slow(EffectsProjection):
            name = "effects"

            def then(self) -> None:
                entered.set()
                assert go_on.wait(20)
                if not succeeds:
                    raise DeliberateError

        mended = EffectsProjection(view)
        mended.is_mended = True
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(letters.retry, letter, application, Slow(view))
            assert entered.wait(20)
            second = threads.submit(letters.retry, letter, application, mended)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.2)
            go_on.set()
            errors = [type(each.exception(20)) for each in (first, second)]
        no_error = type(None)
        if succeeds:
            assert errors[0] is no_error
            assert issubclass(errors[1], ProgrammingError)
        else:
            assert errors == [DeliberateError, no_error]
        assert len(view.found()) == 1
        assert letters.select() == []

    def test_an_event_that_cannot_be_read(
        self,
        letters: DeadLetters,
        application: Application[UUID],
        projection: EffectsProjection,
    ) -> None:
        """Its class is gone, or it is gone itself."""
        recorder = application.recorder
        assert isinstance(recorder, SQLAlchemyApplicationRecorder)
        unreadable, lost, _ = stored = new_events(3)
        recorder.insert_events(stored)
        with recorder.transaction() as connection:
            is_lost = events.c.originator_version == lost.originator_version
            connection.execute(
                events.delete().where(is_lost, events.c.topic == "topic")
            )
        for position in (4, 5):
            where = Tracking("Application", position)
            letters.record(where, unreadable.topic, ValueError(), 1)
        for letter, error in zip(
            letters.select(), ("topic", "no longer exists"), strict=True
        ):
            with pytest.raises(Exception, match=error):
                letters.retry(letter, application, projection)
        assert [each.attempts for each in letters.select()] == [2, 2]

    def test_in_the_transaction_of_the_caller(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        view = projection.view

        def retry_and_fail(projection: EffectsProjection) -> None:
            with view.transaction():
                letters.retry(letter, application, projection)
                raise ZeroDivisionError

        class Wrong(EffectsProjection):
            name = "effects"

            def then(self) -> None:
                with self.view.transaction() as connection:
                    connection.execute(text("SELECT nothing"))

        with pytest.raises(PersistenceError, match="nothing"):
            retry_and_fail(Wrong(view))
        projection.is_mended = True
        with pytest.raises(ZeroDivisionError):
            retry_and_fail(projection)
        assert letters.select() == [letter]
        assert view.found() == []
        assert caplog.records == []

    def test_before_the_projection_has_passed_the_event(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
    ) -> None:
        """It began anew, and would process the event twice."""
        view = projection.view
        begin_anew(view, "Application")
        view.insert_tracking(Tracking("Application", 1))
        projection.is_mended = True
        with pytest.raises(ProgrammingError, match="is at position 1"):
            letters.retry(letter, application, projection)
        assert letters.select() == [letter]
        assert view.found() == []

    def test_by_others(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        projection: EffectsProjection,
        open_factory: OpenFactory,
        env: dict[str, str],
    ) -> None:
        view = open_factory("other").tracking_recorder(Effects)
        with pytest.raises(ProgrammingError, match="cannot process the dead letter of"):
            letters.retry(letter, application, EffectsProjection(view))
        elsewhere = open_factory("effects", SQLALCHEMY_URL="sqlite://")
        view = elsewhere.tracking_recorder(Effects)
        with pytest.raises(ProgrammingError, match="cannot process the dead letter of"):
            letters.retry(letter, application, EffectsProjection(view))
        with Application[UUID]({**env, "APPLICATION_NAME": "x"}) as other:
            other.name = "other"
            with pytest.raises(
                ProgrammingError, match="'other' does not have the event"
            ):
                letters.retry(letter, other, projection)
        assert letters.select() == [letter]

    def test_the_error_of_the_attempt_is_raised_when_it_cannot_be_counted(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        view: Effects,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        class Closing(EffectsProjection):
            name = "effects"

            def then(self) -> None:
                view.datastore.close()
                raise DeliberateError

        with pytest.raises(DeliberateError):
            letters.retry(letter, application, Closing(view))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "the dead letter of projection 'effects'" in record.getMessage()


class TestTrackingInARetry:
    """Only this one event, of this one projection, in this one transaction."""

    @pytest.fixture
    def retry(
        self,
        letters: DeadLetters,
        letter: DeadLetter,
        application: Application[UUID],
        view: Effects,
    ) -> Callable[[Callable[[Tracking], None]], None]:
        """Calls a function when the dead letter is processed."""

        def retry(call: Callable[[Tracking], None]) -> None:
            class Calling(EffectsProjection):
                name = "effects"

                def process_event(self, _: Aggregate.Event, tracking: Tracking) -> None:
                    call(tracking)

            letters.retry(letter, application, Calling(view))

        return retry

    def test_may_be_repeated(self, retry: Any, view: Effects) -> None:
        def twice(tracking: Tracking) -> None:
            view.insert_tracking(tracking)
            view.insert_tracking(Tracking("Application", 2))

        retry(twice)
        assert view.max_tracking_id("Application") == 3

    def test_is_refused_after_it(self, retry: Any, view: Effects) -> None:
        def again() -> None:
            with view.transaction():
                retry(view.insert_tracking)
                view.insert_tracking(Tracking("Application", 2))

        with pytest.raises(IntegrityError, match="has already processed position 2"):
            again()

    def test_of_other_positions_is_refused(self, retry: Any, view: Effects) -> None:
        def another(_: Tracking) -> None:
            view.insert_tracking(Tracking("Application", 3))

        with pytest.raises(IntegrityError):
            retry(another)

    def test_of_other_applications_is_recorded(self, retry: Any, view: Effects) -> None:
        def another(_: Tracking) -> None:
            view.insert_tracking(Tracking("Other", 2))

        retry(another)
        assert view.max_tracking_id("Other") == 2

    def test_of_other_projections_is_recorded(self, retry: Any, view: Effects) -> None:
        other = SQLAlchemyTrackingRecorder(view.datastore, "other")
        retry(other.insert_tracking)
        assert other.max_tracking_id("Application") == 2
        with pytest.raises(IntegrityError):
            other.insert_tracking(Tracking("Application", 2))

    @pytest.mark.needs(Capability.ROW_LOCKS)
    def test_in_other_threads_is_refused(self, retry: Any, view: Effects) -> None:
        """They are not inside of the transaction."""

        def elsewhere(tracking: Tracking) -> None:
            with ThreadPoolExecutor(1) as threads:
                threads.submit(view.insert_tracking, tracking).result()

        with pytest.raises(IntegrityError):
            retry(elsewhere)

    @pytest.mark.needs(Capability.ROW_LOCKS)
    def test_in_other_transactions_is_refused(
        self, retry: Any, open_factory: OpenFactory
    ) -> None:
        factory = open_factory("effects", SQLALCHEMY_POOL_SIZE="2")
        other = factory.tracking_recorder()
        with pytest.raises(IntegrityError):
            retry(other.insert_tracking)


class Answers(EventSourcedProjection[UUID]):
    name = "answers"
    is_mended = False

    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],  # noqa: ARG002
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        processing_event.collect_events(Aggregate())
        if not self.is_mended:
            raise DeliberateError


@pytest.mark.parametrize("answers_before", [0, 2])
def test_event_sourced_projections(
    application: Application[UUID], env: dict[str, str], answers_before: int
) -> None:
    with Answers(Environment("answers", {**os.environ, **env})) as projection:
        recorder = projection.recorder
        assert isinstance(recorder, SQLAlchemyProcessRecorder)
        letters = DeadLetters(recorder)
        letters.record(Tracking("Application", 2), TOPIC, DeliberateError(), 1)
        recorder.insert_events(new_events(answers_before), Tracking("Application", 3))
        (letter,) = letters.select()

        with pytest.raises(DeliberateError):
            letters.retry(letter, application, projection)
        assert (projection.recorder.max_notification_id() or 0) == answers_before
        assert letters.select()[0].attempts == 2

        projection.is_mended = True
        letters.retry(letter, application, projection)
        assert projection.recorder.max_notification_id() == answers_before + 1
        assert recorder.max_tracking_id("Application") == 3
        assert letters.select() == []
        with pytest.raises(ProgrammingError):
            letters.retry(letter, application, projection)
        assert projection.recorder.max_notification_id() == answers_before + 1


class Tally(Aggregate):
    ID = UUID(int=13)

    @decorated("Begun")
    def __init__(self) -> None:
        self.count = 0

    @decorated("Counted")
    def increase(self) -> None:
        self.count += 1

    @staticmethod
    def create_id() -> UUID:
        return Tally.ID


class Cached(EventSourcedProjection[UUID]):
    """Fails after it has recorded, some times."""

    name = "cached"
    failures = 0

    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],  # noqa: ARG002
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        try:
            tally: Tally = self.repository.get(Tally.ID)
        except AggregateNotFoundError:
            tally = Tally()
        tally.increase()
        processing_event.collect_events(tally)

    def process_event(
        self, domain_event: DomainEventProtocol[UUID], tracking: Tracking
    ) -> None:
        super().process_event(domain_event, tracking)
        if tracking.notification_id == 2 and self.failures:
            Cached.failures -= 1
            raise LockTimeoutError("of the snapshots")


@pytest.mark.parametrize("fastforward", ["yes", "no"])
@pytest.mark.parametrize("failures", [0, 1, 1000])
def test_event_sourced_projection_that_caches_aggregates(
    application: Application[UUID],
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    fastforward: str,
    failures: int,
) -> None:
    """The cache has nothing that was rolled back, and nothing that is outdated."""
    monkeypatch.setattr(Cached, "failures", failures)
    env |= {
        "AGGREGATE_CACHE_MAXSIZE": "10",
        "AGGREGATE_CACHE_FASTFORWARD": fastforward,
        "SQLALCHEMY_RETRY_TIMEOUT": "0.2",
    }
    with Cached(Environment("cached", {**os.environ, **env})) as projection:
        occurred = Aggregate().collect_events()[0]
        projection.process_event(occurred, Tracking("Application", 1))
        letters = DeadLetters(projection.recorder)
        letters.record(Tracking("Application", 2), TOPIC, DeliberateError(), 1)
        (letter,) = letters.select()
        with suppress(LockTimeoutError):
            letters.retry(letter, application, projection)
        projection.process_event(occurred, Tracking("Application", 3))
        projection.process_event(occurred, Tracking("Application", 4))
        stored = projection.recorder.select_events(Tally.ID)
        counted = 3 if letters.select() else 4
        assert [each.originator_version for each in stored] == [*range(1, counted + 2)]
        found: Tally = projection.repository.get(Tally.ID)
        assert found.count == counted


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_retry_takes_turns_with_those_who_process(
    application: Application[UUID],
    view: Effects,
    letters: DeadLetters,
    letter: DeadLetter,
    projection: EffectsProjection,
) -> None:
    """So what a view reads first and writes then is nobody else's meanwhile."""
    projection.is_mended = True
    with ThreadPoolExecutor(1) as threads:
        with view.processing(Tracking(application.name, 4)):
            retried = threads.submit(letters.retry, letter, application, projection)
            with pytest.raises(TimeoutError):
                retried.result(timeout=0.3)
        retried.result(timeout=10)
    assert len(view.found()) == 1
