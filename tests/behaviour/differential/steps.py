"""What a view does to process an event, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Select, Table, bindparam, func, select

from backends import Capability
from behaviour.differential.view import Act
from eventsourcing_alchemy import upsert
from eventsourcing_alchemy.upserts.statement import Upsert

Do: TypeAlias = Callable[[Act], None]


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    Attributes:
        do: the step.
        needs: of the database.
        is_batched: whether events with such steps share a transaction.
    """

    do: Do
    needs: frozenset[Capability]
    is_batched: bool

    def __repr__(self) -> str:
        return self.do.__name__


@dataclass(frozen=True)
class Step:
    """What is done for every so many events, with rows of a key."""

    kind: Kind
    key: str
    every: int

    def __call__(self, act: Act) -> None:
        if act.position % self.every == 0:
            self.kind.do(replace(act, key=self.key))


KINDS: list[Kind] = []


def step(*needs: Capability, is_batched: bool = True) -> Callable[[Do], Do]:
    """Lets a function be a step of the views that are generated."""

    def add(do: Do) -> Do:
        KINDS.append(Kind(do, frozenset(needs), is_batched))
        return do

    return add


def count(act: Act, table: Table, key: str | None = None, by: int = 1) -> Any:
    """Some more in a table."""
    row = {"key": key or act.key, "n": by}
    return act.execute(upsert(table, row, set_={"n": table.c.n + by}))


@cache
def declared_fold(table: Table) -> Upsert:
    """As `fold()`, for executions with the parameters `key` and `by`."""
    by: Any = bindparam("by")
    row = {"key": bindparam("key"), "n": by}
    return upsert(table, row, set_={"n": (table.c.n * 3 + by) % 9973})


def sum_of(table: Table) -> Select[Any]:
    """All that was counted in a table."""
    return select(func.sum(table.c.n))
