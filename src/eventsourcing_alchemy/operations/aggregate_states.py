"""What each event of an aggregate has changed, as its own class tells."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.host import (
    BaseAggregate,
    CanMutateAggregate,
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Mapper,
    StoredEvent,
    UUIDAsHex,
)
from eventsourcing_alchemy.operations.stored_records import StoredRecord

ABSENT = "(none)"
"""Stands for an attribute that is not there."""

_UNSEEN = {"_modified_on", "_version", "_pending_events"}
"""Attributes that say what the event says already."""

LONGEST_SHOWN = 300
"""Characters of a value that are shown: if it is longer, from where it has changed."""

_CONTEXT = 40
"""Of them, those before the first that has changed."""


@dataclass(frozen=True)
class Change:
    """What has become of an attribute.

    Attributes:
        name: of the attribute.
        before: its value, as Python shows it, from where it changes if it is long;
            `ABSENT` if there was none.
        after: the same, of the value now.
    """

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """An event of an aggregate.

    Attributes:
        record: of the event.
        changes: by attribute; None where they are not known.
        reason: why they are not known; None where they are.
    """

    record: StoredRecord
    changes: Sequence[Change] | None
    reason: str | None


def with_changes(records: Sequence[StoredRecord]) -> Sequence[Step]:
    """The events of an aggregate, with what each has changed.

    Only classes that this process has imported already are used: what is stored does
    not make it import anything. States have to be as the library's own transcodings
    make them.

    Args:
        records: the events, in the order of versions.
    """
    replay = _Replay()
    return [replay.step(each) for each in records]


class _UnknownError(Exception):
    """Why it cannot be told what an event has changed."""


class _Replay:
    """Applies one event after the other, until one cannot be."""

    def __init__(self) -> None:
        self._mapper = Mapper[Any](_transcoder())
        self._aggregate: Any = None
        self._version = 0
        self._seen: Mapping[str, str] = {}
        self._reason: str | None = None

    def step(self, record: StoredRecord) -> Step:
        if self._reason is None:
            try:
                return Step(record, self._changes(record), None)
            except _UnknownError as error:
                self._reason = str(error)
            except Exception as error:  # Of classes that are not ours.
                self._reason = f"position {record.position}: {text_of(error)}"[:500]
        return Step(record, None, self._reason)

    def _changes(self, record: StoredRecord) -> Sequence[Change]:
        event: Any = self._mapper.to_domain_event(_stored_event(record, self._version))
        self._aggregate = event.mutate(self._aggregate)
        self._version += 1
        before, self._seen = self._seen, _attributes(self._aggregate)
        names = [*self._seen, *(name for name in before if name not in self._seen)]
        return [
            _change(name, before.get(name, ABSENT), self._seen.get(name, ABSENT))
            for name in names
            if before.get(name) != self._seen.get(name)
        ]


def _change(name: str, before: str, after: str) -> Change:
    start = 0
    if max(len(before), len(after)) > LONGEST_SHOWN:
        start = max(0, _first_difference(before, after) - _CONTEXT)
    return Change(name.removeprefix("_"), _part(before, start), _part(after, start))


def _first_difference(before: str, after: str) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    shorter = min(len(before), len(after))
    return next((place for place, (old, new) in pairs if old != new), shorter)


def _part(text: str, start: int) -> str:
    beginning = "…" if start else ""
    end = "…" if len(text) > start + LONGEST_SHOWN else ""
    return f"{beginning}{text[start : start + LONGEST_SHOWN]}{end}"


def _stored_event(record: StoredRecord, version: int) -> StoredEvent:
    state, aggregate_id = record.state, record.aggregate_id
    if aggregate_id is None or record.version is None:
        raise _UnknownError("events with tags have no aggregate")
    if record.version != version + 1:
        raise _UnknownError(f"the events before version {record.version} are not here")
    if state.reason is not None:
        raise _UnknownError(f"the state is {state.reason}")
    _imported_class(record.topic, CanMutateAggregate)
    if isinstance(state.value, dict) and "originator_topic" in state.value:
        # By which the first event constructs the aggregate.
        _imported_class(str(state.value["originator_topic"]), BaseAggregate)
    encoded = json.dumps(state.value).encode()
    return StoredEvent(aggregate_id, record.version, record.topic, encoded)


def _imported_class(topic: str, base: type[Any]) -> None:
    """Makes sure that a topic is that of a class, which is there already.

    Raises:
        _UnknownError: if it is not.
    """
    module, _, name = topic.partition(":")
    found: Any = sys.modules.get(module)
    for each in name.split("."):
        found = getattr(found, each, None)
    is_known = isinstance(found, type) and issubclass(found, base)
    if not is_known:
        raise _UnknownError(f"this process has not imported a class {topic!r}")


def _attributes(aggregate: Any) -> Mapping[str, str]:
    if aggregate is None:  # It was discarded.
        return {}
    return {
        name: repr(value)
        for name, value in vars(aggregate).items()
        if name not in _UNSEEN
    }


def _transcoder() -> JSONTranscoder:
    transcoder = JSONTranscoder()
    for each in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO()):
        transcoder.register(each)
    return transcoder
