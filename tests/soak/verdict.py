"""Whether everything is as it has to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from factories import construct_factory
from positions import Positions
from soak.bank import Bank
from soak.booking_log import BookingLog
from soak.booking_log import read as read_bookings
from soak.journal import Journals
from soak.log import Log, read
from soak.projections import (
    Audits,
    Bookings,
    Certificates,
    Closings,
    Everything,
    HealedAudits,
)
from soak.theatre import SHOWS, Theatre
from soak.totals import Replay, Totals

PAGE = 1000

V = TypeVar("V", bound=SQLAlchemyTrackingRecorder)


class Finding(NamedTuple):
    """One line of the verdict."""

    what: str
    seen: str
    is_right: bool = True

    def __str__(self) -> str:
        return f"  {self.what:<28}{self.seen:<50}{'' if self.is_right else 'WRONG'}"


class Judge:
    """Looks at what the processes have left, when nobody works any more.

    Args:
        env: of a client that no fault reaches.
        journals: of the processes.
    """

    def __init__(self, env: Mapping[str, str], journals: Journals) -> None:
        self._env = env
        self._journals = journals
        self._acknowledged = journals.written()

    def findings(self) -> Iterator[Finding]:
        """The verdict, line by line."""
        with closing(Bank(dict(self._env))) as bank:
            assert isinstance(bank.recorder, SQLAlchemyApplicationRecorder)
            log = Log(self._acknowledged)
            log.take(read(bank.recorder))
            yield from self._of_events(log)
            yield from self._of_totals(Everything.name, log.everything, log.count)
            yield from self._of_totals(Closings.name, log.closings, log.count)
            yield from self._of_certificates(log)
            yield from self._of_audits(log, bank)
        yield from self._of_bookings()

    def _of_events(self, log: Log) -> Iterator[Finding]:
        count = sum(entry.events for entry in self._acknowledged)
        yield Finding("events acknowledged", f"{count}, {log.lost} lost", not log.lost)
        unknown = log.count - count + log.lost
        yield Finding("events stored", f"{log.count}, {unknown} not acknowledged")
        yield Finding("positions", f"1 to {log.count}, {log.gaps} gaps", not log.gaps)

    def _of_totals(
        self, name: str, replay: Replay, last: int, application: str = Bank.name
    ) -> Iterator[Finding]:
        with closing(self._factory(name)) as factory:
            view = factory.tracking_recorder(Totals)
            seen = view.all()
            yield _position(view, last, application)
        wanted, found = replay.events, sum(total.events for total in seen.values())
        yield _effects(name, wanted, found, is_same=seen == replay.totals)

    def _of_certificates(self, log: Log) -> Iterator[Finding]:
        with closing(Certificates(self._factory(Certificates.__name__).env)) as app:
            made = list(_certified(app))
            yield _position(app.recorder, log.count)
        name = Certificates.__name__
        yield _effects(name, len(log.openings), len(made), is_same=made == log.openings)

    def _of_audits(self, log: Log, bank: Bank) -> Iterator[Finding]:
        with closing(self._factory(Audits.name)) as factory:
            view = factory.tracking_recorder(Positions)
            yield _position(view, log.count)
            letters = DeadLetters(view)
            dead = letters.select()
            are_right = [each.notification_id for each in dead] == log.poison
            projection = HealedAudits(view)
            for letter in dead:
                letters.retry(letter, bank, projection)
            left = len(letters.select())
            seen = view.all()
        told = f"{len(dead)} of {len(log.poison)} poison events, {left} after retries"
        yield Finding("dead letters", told, are_right and not left)
        wanted = dict.fromkeys(log.audits, 1)
        found = sum(seen.values())
        yield _effects(Audits.name, len(wanted), found, is_same=seen == wanted)

    def _of_bookings(self) -> Iterator[Finding]:
        log, booked = BookingLog(), self._journals.booked()
        log.take(read_bookings(self._env["SQLALCHEMY_URL"]))
        lost = len(set(booked) - log.stored)
        unknown = log.count - len(booked) + lost
        told = f"{len(booked)}, {lost} lost; {unknown} not acknowledged"
        yield Finding("bookings acknowledged", told, not lost)
        wrong = (log.gaps, log.twice, log.missed)
        told = "{} gaps, {} twice, {} conflicts missed".format(*wrong)
        yield Finding("bookings", told, not any(wrong))
        followed = [entry.position for entry in self._journals.followed]
        of_show = log.of_shows[SHOWS[0]]
        told = f"{len(followed)} of {len(of_show)} events"
        yield Finding("a show was followed", told, followed == of_show)
        yield from self._of_totals(Bookings.name, log.replay, log.count, Theatre.name)

    def _factory(self, name: str) -> SQLAlchemyFactory:
        return construct_factory(name, self._env)


def _certified(app: Certificates) -> Iterator[int]:
    gt = 0
    while page := app.recorder.select_notifications(gt + 1, PAGE):
        for notification in page:
            event: Any = app.mapper.to_domain_event(notification)
            yield event.position
        gt = page[-1].id


def _position(recorder: Any, last: int, application: str = Bank.name) -> Finding:
    position = recorder.max_tracking_id(application)
    return Finding(f"position of {recorder.name}", str(position), position == last)


def _effects(name: str, wanted: int, found: int, *, is_same: bool) -> Finding:
    excess = f"{max(0, wanted - found)} missing, {max(0, found - wanted)} twice"
    same = "as a replay" if is_same else "NOT as a replay"
    return Finding(f"effects of {name}", f"{found}, {excess}, {same}", is_same)
