"""Which span has written an event, as far as this process did."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock

from opentelemetry.trace import Span, SpanContext

from eventsourcing_alchemy.host import DCBEvent, Notification, StoredEvent

KEPT = 10_000
"""Events whose writers are known, at the most: the last ones."""

_Event = tuple[str, str, int]

Stored = StoredEvent | DCBEvent


class Writers:
    """Remembers the spans in which this process has stored its last events.

    Nothing about them is stored with the events. So what another process has written
    cannot be linked.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: OrderedDict[tuple[str, int], tuple[_Event, SpanContext]] = (
            OrderedDict()
        )

    def remember(
        self, span: Span, application: str, events: Sequence[Stored], last: int
    ) -> None:
        """Notes the span of events that were stored.

        Args:
            span: in which they were; of no interest if it is not recorded.
            application: whose events they are.
            events: in their order.
            last: position of the last one.
        """
        if not span.is_recording():
            return
        context, first = span.get_span_context(), last - len(events) + 1
        with self._lock:
            for position, event in enumerate(events, first):
                self._found[application, position] = _identity(event), context
            while len(self._found) > KEPT:
                self._found.popitem(last=False)

    def of(
        self, application: str, notifications: Iterable[Notification]
    ) -> Iterator[SpanContext]:
        """The spans of some events, each once."""
        seen: set[int] = set()
        for each in notifications:
            event, context = self._found.get((application, each.id), (None, None))
            # An application of another database may have the same name.
            if context is None or event != _identity(each) or context.span_id in seen:
                continue
            seen.add(context.span_id)
            yield context


def _identity(event: Stored) -> _Event:
    if isinstance(event, DCBEvent):
        return event.type, "", 0
    return event.topic, str(event.originator_id), event.originator_version
