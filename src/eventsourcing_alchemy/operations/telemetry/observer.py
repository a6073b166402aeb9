"""Tells OpenTelemetry what happens."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import local
from time import perf_counter, time_ns
from types import TracebackType
from typing import Any, Self

from opentelemetry.metrics import Meter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    use_span,
)

from eventsourcing_alchemy.host import IntegrityError
from eventsourcing_alchemy.instrumentation import Observed, Observer
from eventsourcing_alchemy.operations.telemetry.attributes import (
    APPLICATION,
    ERROR_TYPE,
    EVENTS,
    POSITION,
    RETRY_REASON,
    WAKE_UP_REASON,
    of_projection,
    type_of,
)
from eventsourcing_alchemy.operations.telemetry.instruments import Instruments
from eventsourcing_alchemy.operations.telemetry.writers import Writers

_Attributes = dict[str, str]


class TellingObserver(Observer):
    """Counts, times and traces.

    Args:
        meter: makes the instruments.
        tracer: makes the spans.
    """

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        self.instruments = Instruments(meter)
        self.tracer = tracer
        self.writers = Writers()
        self.current = _Current()

    def appending(self, application: str, events: Sequence[Any]) -> Observed:
        """A span, from the call to the outcome."""
        return _Appending(self, application, events)

    def retried(self, kind: str) -> None:
        """Counts it, with the application if it is an append."""
        attributes = {**self.current.append, RETRY_REASON: kind.lower()}
        self.instruments.retries.add(1, attributes)

    def committed_together(self, appends: int) -> None:
        """Counts them."""
        self.instruments.append_group_size.record(appends)

    def reading(self, application: str) -> Observed:
        """A span, unless there was nothing to read."""
        return _Reading(self, application)

    def woken(self, application: str, reason: str) -> None:
        """Counts it."""
        attributes = {APPLICATION: application, WAKE_UP_REASON: reason}
        self.instruments.wake_ups.add(1, attributes)

    def processing(
        self, projection: str, application: str, notifications: Sequence[Any]
    ) -> Observed:
        """A span, linked to those of the appends in this process."""
        return _Processing(self, projection, application, notifications)

    def failed(self, projection: str, application: str, error: Exception) -> None:
        """Counts it."""
        attributes = of_projection(projection, application)
        attributes[ERROR_TYPE] = type_of(type(error))
        self.instruments.failures.add(1, attributes)

    def passed_over(self, projection: str, application: str) -> None:
        """Counts it."""
        attributes = of_projection(projection, application)
        self.instruments.passed_over.add(1, attributes)

    def lease_taken(self, projection: str, application: str) -> None:
        """Counts it."""
        attributes = of_projection(projection, application)
        self.instruments.leases_held.add(1, attributes)

    def lease_ended(self, projection: str, application: str, *, is_lost: bool) -> None:
        """Counts it."""
        attributes = of_projection(projection, application)
        self.instruments.leases_held.add(-1, attributes)
        if is_lost:
            self.instruments.leases_lost.add(1, attributes)

    def outage_began(self) -> None:
        """Counts it."""
        self.instruments.outages.add(1)

    def outage_ended(self, seconds: float) -> None:
        """Records how long it lasted."""
        self.instruments.outage_duration.record(seconds)


class _Current(local):
    """What the thread is doing."""

    def __init__(self) -> None:
        self.append: _Attributes = {}


class _Timed(Observed):
    """Something that takes time, in a span."""

    __slots__ = ("_attributes", "_began", "_entered", "_observer", "_span")

    _span: Span
    _entered: AbstractContextManager[Span]

    def __init__(self, observer: TellingObserver, attributes: _Attributes) -> None:
        self._observer = observer
        self._attributes = attributes

    def _begin(self, name: str, kind: SpanKind, events: int) -> None:
        self._span = self._observer.tracer.start_span(
            name, kind=kind, attributes={**self._attributes, EVENTS: events}
        )
        # Messages of errors may hold what nobody is to see.
        self._entered = use_span(
            self._span, record_exception=False, set_status_on_exception=False
        )
        self._entered.__enter__()
        self._began = perf_counter()

    def _end(self, error_type: type[BaseException] | None) -> float:
        seconds = perf_counter() - self._began
        if error_type is not None:
            self._attributes = _with_error(self._attributes, error_type)
            _mark_failed(self._span, error_type)
        self._entered.__exit__(None, None, None)
        self._span.end()
        return seconds


class _Appending(_Timed):
    __slots__ = ("_application", "_before", "_events")

    def __init__(
        self, observer: TellingObserver, application: str, events: Sequence[Any]
    ) -> None:
        super().__init__(observer, {APPLICATION: application})
        self._application = application
        self._events = events

    def __enter__(self) -> Self:
        current = self._observer.current
        self._before, current.append = current.append, self._attributes
        self._begin(f"append {self._application}", SpanKind.PRODUCER, len(self._events))
        return self

    def stored(self, last: int) -> None:
        self._span.set_attribute(POSITION, last)
        events = self._events
        self._observer.writers.remember(self._span, self._application, events, last)
        self._observer.instruments.append_events.add(len(events), self._attributes)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        instruments = self._observer.instruments
        self._observer.current.append = self._before
        if error_type is not None and issubclass(error_type, IntegrityError):
            instruments.append_conflicts.add(1, self._attributes)
        seconds = self._end(error_type)
        instruments.append_duration.record(seconds, self._attributes)


class _Processing(_Timed):
    __slots__ = ("_application", "_done", "_notifications", "_projection")

    def __init__(
        self,
        observer: TellingObserver,
        projection: str,
        application: str,
        notifications: Sequence[Any],
    ) -> None:
        super().__init__(observer, of_projection(projection, application))
        self._projection = projection
        self._application = application
        self._notifications = notifications
        self._done = 0

    def __enter__(self) -> Self:
        self._begin(f"process {self._projection}", SpanKind.CONSUMER, 0)
        return self

    def done(self, count: int) -> None:
        self._done = count

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        processed = self._notifications[: self._done]
        instruments = self._observer.instruments
        if processed:
            instruments.processed.add(len(processed), self._attributes)
            instruments.batch_size.record(len(processed), self._attributes)
            self._tell_span(processed)
        seconds = self._end(error_type)
        instruments.batch_duration.record(seconds, self._attributes)

    def _tell_span(self, processed: Sequence[Any]) -> None:
        span = self._span
        if span.is_recording():
            span.set_attributes({EVENTS: len(processed), POSITION: processed[-1].id})
            # At the end, when the writer has certainly had the time to remember.
            for context in self._observer.writers.of(self._application, processed):
                span.add_link(context)


class _Reading(Observed):
    __slots__ = ("_application", "_began", "_began_at", "_count", "_observer")

    def __init__(self, observer: TellingObserver, application: str) -> None:
        self._observer = observer
        self._application = application
        self._count = 0

    def __enter__(self) -> Self:
        self._began_at, self._began = time_ns(), perf_counter()
        return self

    def done(self, count: int) -> None:
        self._count = count

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._began
        attributes = {APPLICATION: self._application}
        if self._count or error_type is not None:
            self._tell_span(attributes, error_type)
            self._observer.instruments.page_size.record(self._count, attributes)
        if error_type is not None:
            attributes = _with_error(attributes, error_type)
        self._observer.instruments.page_duration.record(seconds, attributes)

    def _tell_span(
        self, attributes: _Attributes, error_type: type[BaseException] | None
    ) -> None:
        span = self._observer.tracer.start_span(
            f"read {self._application}",
            start_time=self._began_at,
            attributes={**attributes, EVENTS: self._count},
        )
        if error_type is not None:
            _mark_failed(span, error_type)
        span.end()


def _with_error(
    attributes: _Attributes, error_type: type[BaseException]
) -> _Attributes:
    return {**attributes, ERROR_TYPE: type_of(error_type)}


def _mark_failed(span: Span, error_type: type[BaseException]) -> None:
    span.set_attribute(ERROR_TYPE, type_of(error_type))
    span.set_status(StatusCode.ERROR, type_of(error_type))
