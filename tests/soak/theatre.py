"""A theatre: events with tags, each of which was appended under a condition."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from time import monotonic
from uuid import UUID, uuid4

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBQuery,
    DCBQueryItem,
    DCBSequencedEvent,
)
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Tagged
from eventsourcing.dcb.msgpack import Decision
from eventsourcing.persistence import IntegrityError

from soak.journal import Entry

SHOWS = [str(UUID(int=number)) for number in range(1, 11)]

LATEST = 3
"""Positions by which somebody is late, at the most, who looks at the shows."""

END = 2**63 - 1

PATIENCE = 5.0
"""Seconds for which a node may be behind another one that was asked before."""


class Booked(Decision):
    """Of two shows, the tags, neither of which was booked since a position."""

    number: str
    after: int


class FalseConflictError(Exception):
    """A condition has failed, and nothing is there that it finds."""


class Theatre(DCBApplication):
    """Has shows, which anybody books."""

    name = "Theatre"
    env: Mapping[str, str] = {
        "MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"
    }

    def book(self, random: Random) -> Entry | None:
        """Book two shows, unless somebody was faster with one of them: None then.

        Raises:
            FalseConflictError: if nobody was.
        """
        shows = random.sample(SHOWS, 2)
        head = self.recorder.read(after=END).head or 0
        after = max(0, head - random.randrange(LATEST + 1))
        booked = Booked(number=str(uuid4()), after=after)
        condition = DCBAppendCondition(query_of(*shows), after)
        event = self.mapper.to_dcb_event(Tagged(shows, booked))
        try:
            position = self.recorder.append([event], condition)
        except IntegrityError as error:
            self._check_conflict(condition, booked, error)
            return None
        return Entry(position, 1, after, UUID(booked.number))

    def _check_conflict(
        self, condition: DCBAppendCondition, booked: Booked, error: IntegrityError
    ) -> None:
        query, after = condition.fail_if_events_match, condition.after
        numbers: set[str] = set()
        deadline = monotonic() + PATIENCE
        while not numbers and monotonic() < deadline:
            found = self.recorder.read(query, after=after)
            numbers = {self.booked(each).number for each in found}
        if not numbers or booked.number in numbers:
            raise FalseConflictError(booked, numbers) from error

    def booked(self, event: DCBSequencedEvent) -> Booked:
        """What was booked by an event."""
        decision = self.mapper.to_domain_event(event.event).decision
        assert isinstance(decision, Booked)
        return decision


def query_of(*shows: str) -> DCBQuery:
    """Finds all that concerns one of these shows."""
    return DCBQuery([DCBQueryItem(tags=[show]) for show in shows])
