"""A bank: the events that are written."""

from __future__ import annotations

from random import Random
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    """Deposited to, audited now and then, closed perhaps."""

    @event("Opened")
    def __init__(self) -> None:
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount

    @event("Audited")
    def audit(self, number: int) -> None:
        self.last_audit = number

    @event("Closed")
    def close(self) -> None:
        self.is_closed = True


class Bank(Application[UUID]):
    """Has accounts, each of which has one writer."""


def use(account: Account, random: Random, times: int) -> None:
    """Let so many events happen to an account."""
    for _ in range(times):
        kind = random.random()
        if kind < 0.9:
            account.deposit(random.randint(1, 1000))
        elif kind < 0.97:
            account.audit(random.randint(1, 1000))
        else:
            account.close()
