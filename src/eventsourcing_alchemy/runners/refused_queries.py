"""Applications whose recorders cannot look for the topics of a projection."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from eventsourcing_alchemy.host import (
    DCBQuery,
    DCBQueryItem,
    DCBRecorder,
    DCBSubscription,
    Notification,
    ProgrammingError,
)
from eventsourcing_alchemy.runners.event_source import (
    EventSource,
    ForeignEventSource,
    tagged,
)
from eventsourcing_alchemy.schema.validation import HIGHEST
from eventsourcing_alchemy.statements.renamed_topics import with_other_names


def refuses(recorder: DCBRecorder, topics: Sequence[str]) -> bool:
    """Whether a recorder refuses the query by which a projection follows.

    Args:
        recorder: of whatever persistence module.
        topics: of the projection; all, if there are none.
    """
    query = DCBQuery([DCBQueryItem(types=list(topics))])
    try:
        # Beyond the end, where it has little to do.
        recorder.read(query, after=HIGHEST, limit=1)
    except ProgrammingError:
        return True
    return False


def chooser(topics: Sequence[str]) -> Callable[[Notification], bool]:
    """What tells the events of some topics from others.

    Args:
        topics: of the events to choose; all, if there are none.
    """
    wanted = frozenset(with_other_names(topics))
    return lambda each: not wanted or each.topic in wanted


@contextmanager
def chosen_events(
    recorder: DCBRecorder, topics: Sequence[str], after: int | None, stopping: Event
) -> Iterator[EventSource]:
    """Follows all events of an application, and chooses those of the topics.

    Args:
        recorder: of the application.
        topics: of the events to choose; all, if there are none.
        after: position to start after.
        stopping: ends it; is set when the block ends.
    """
    with recorder.subscribe(after=after) as subscription:
        stopper = Thread(target=_stop, args=(subscription, stopping))
        stopper.start()
        events = map(tagged, subscription)
        try:
            yield ForeignEventSource(filter(chooser(topics), events))
        finally:
            stopper.join()


def _stop(subscription: DCBSubscription[DCBRecorder], stopping: Event) -> None:
    stopping.wait()
    subscription.stop()
