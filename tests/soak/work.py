"""What the processes do, until they are killed or done."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from multiprocessing import parent_process
from random import Random
from threading import Thread
from time import monotonic, sleep
from typing import TypeVar
from uuid import UUID

from eventsourcing.persistence import OperationalError, PersistenceError

from factories import construct_factory
from soak.bank import Account, Bank, use
from soak.journal import Entry, Journal
from soak.projections import RUNNERS, Everything
from soak.theatre import SHOWS, Theatre, query_of

T = TypeVar("T")

MOST_AT_ONCE = 20
"""Events in one transaction."""

KEPT = 50
"""Accounts that a writer goes on with."""

LEAD = 1000
"""Events that writers are ahead of the projection of all events, at the most."""

PATIENCE = 60.0

TELL_STACKS = signal.SIGUSR1
"""Makes a process print what its threads do."""


def write(env: Mapping[str, str], journal: Journal, quota: int, seed: int) -> None:
    """Write until so many events are acknowledged, counting those of predecessors."""
    _begin()
    left = quota - sum(entry.events for entry in journal)
    random = Random(seed + left)  # noqa: S311 (not for secrets)
    accounts: list[Account] = []
    with (
        closing(_patiently(lambda: Bank(dict(env)))) as bank,
        closing(construct_factory(Everything.name, env)) as factory,
    ):
        view = _patiently(factory.tracking_recorder)
        while left > 0:
            is_new = not accounts or random.random() < 0.5
            account = Account() if is_new else accounts.pop(0)
            use(account, random, random.randint(1, MOST_AT_ONCE - 1))
            try:
                recordings = bank.save(account)
            except OperationalError:
                continue  # Who knows whether it is stored? Nobody goes on with it.
            first = recordings[0]
            version = first.domain_event.originator_version
            position = first.notification.id
            journal.add(Entry(position, len(recordings), version, account.id))
            left -= len(recordings)
            accounts = [*accounts, account][-KEPT:]
            if position > LEAD:
                with suppress(TimeoutError, OperationalError):
                    view.wait(bank.name, position - LEAD, timeout=10)


def book(env: Mapping[str, str], journal: Journal, quota: int, seed: int) -> None:
    """Book until so many events are acknowledged, counting those of predecessors."""
    _begin()
    left = quota - sum(1 for _ in journal)
    random = Random(seed + left)  # noqa: S311 (not for secrets)
    with closing(_patiently(lambda: Theatre(dict(env)))) as theatre:
        while left > 0:
            with suppress(OperationalError):
                if entry := theatre.book(random):
                    journal.add(entry)
                    left -= 1


def follow(env: Mapping[str, str], journal: Journal) -> None:
    """Note what concerns a show, from where a predecessor was killed, until told."""
    _begin()
    last = journal.last()
    after = last.position if last else None
    with closing(_patiently(lambda: Theatre(dict(env)))) as theatre:
        query = query_of(SHOWS[0])
        subscription = _patiently(
            lambda: theatre.recorder.subscribe(query, after=after)
        )
        with subscription:
            signal.signal(signal.SIGTERM, lambda *_: subscription.stop())
            for event in subscription:
                number = UUID(theatre.booked(event).number)
                journal.add(Entry(event.position, 1, 0, number))


def project(name: str, env: Mapping[str, str]) -> None:
    """Run a copy of a projection until the signal to stop."""
    _begin()
    runner = _patiently(lambda: RUNNERS[name](env))
    with runner:
        signal.signal(signal.SIGTERM, lambda *_: runner.stop())
        runner.run_forever()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.register(TELL_STACKS)
    # Outages are what this is about.
    logging.disable(logging.CRITICAL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)


def _patiently(construct: Callable[[], T]) -> T:
    """As a supervisor would that starts a process again and again."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            return construct()
        except PersistenceError:
            if monotonic() > deadline:
                raise
            sleep(0.1)
