"""A transaction's upserts that wait for each other, to be executed by one statement."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Protocol, cast
from uuid import UUID
from weakref import ref

from sqlalchemy import Connection, CursorResult

from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.upserts.plans import Plan
from eventsourcing_alchemy.upserts.postponed import Postponed
from eventsourcing_alchemy.upserts.targets import Target
from eventsourcing_alchemy.upserts.waiting_result import WaitingResult

_IMMUTABLE = {
    type(None), bool, int, float, str, bytes, UUID, Decimal, date, datetime, time,
    timedelta,
}  # fmt: skip


Waiting = tuple[Plan, list[Any]]
"""Upserts of one form, with the parameters of each."""


class ResultNeededError(Exception):
    """The result was asked for of an upsert that is executed together with others."""


class Remembers(Protocol):
    """Remembers rows that were written, as long as nothing else may change them."""

    def forget(self) -> None:
        """Something else may have changed them."""


class UpsertBuffer:
    """What has been executed on a connection, and waits for something else to be.

    Upserts of one form wait if nobody can tell: the values are those that the driver
    takes, the database runs nothing else when they are executed, and nothing else is
    executed before them. They keep their order.

    Attributes:
        failure: what went wrong first, even if the user has caught it.
        memory: of rows that ORM sessions have written, None if there are none.
        postponed: what else is done before something can tell that it is not.
        is_for_last: whether only one waits, until the next is to be executed.

    Args:
        connection: to execute them on.
        is_for_last: whether only one waits, until the next is to be executed.
    """

    def __init__(self, connection: Connection, *, is_for_last: bool = False) -> None:
        self.connection = connection
        self.is_for_last = is_for_last
        self.failure: BaseException | None = None
        self.memory: Remembers | None = None
        self._plan: Plan | None = None
        self._rows: list[Any] = []
        self._last: WaitingResult | None = None
        self._results: list[tuple[int, ref[WaitingResult]]] = []
        self.postponed = Postponed()
        self._is_open = True
        self._is_busy = False

    def execute(
        self, plan: Plan, rows: Sequence[Any], options: Mapping[str, Any]
    ) -> CursorResult[Any]:
        """Executes an upsert, now or later.

        Args:
            plan: of the upsert.
            rows: parameters as the driver takes them, to execute it once for each.
            options: execution options.
        """
        self._forget()
        if options or not self._can_wait(plan):
            return plan.execute(self.connection, rows, options)
        if not plan.is_collected:
            with self.busy():  # Cannot see what is postponed.
                return plan.execute(self.connection, rows, options)
        frozen = [self._frozen(each) for each in rows]
        if None in frozen:
            return plan.execute(self.connection, rows, options)
        self._add(plan, frozen)
        self._last = WaitingResult(self.result_of, len(rows), plan.merge is None)
        if plan.merge is not None or self.is_for_last:
            self._results.append((len(self._rows) - len(rows), ref(self._last)))
        return cast("CursorResult[Any]", self._last)

    def collect(self, statements: Sequence[tuple[Plan, Any]]) -> bool:
        """Executes statements later, of which nobody needs the results.

        Args:
            statements: to tables without side effects, in their order, each with its
                parameters as the driver takes them.

        Returns:
            False if one of them cannot wait, so none does.
        """
        rows = [self._frozen(bound) for _, bound in statements]
        if None in rows:
            return False
        for (plan, _), row in zip(statements, rows, strict=True):
            self._add(plan, [row])
        return True

    def result_of(self, result: WaitingResult) -> Any:
        """The real result of an upsert that waits, which is executed by itself.

        Returns:
            None if the result has been set.

        Raises:
            ResultNeededError: if others have been collected after it.
        """
        if self._last is not result and self._is_kept(result):
            self.flush_rows()
            return None
        if self._last is not result or self._plan is None:
            msg = (
                "The result of an upsert is no longer available: ask for it before "
                "the next upsert and before the block ends, because the upsert was "
                "executed together with that, or with COMMIT"
            )
            self.failure = ResultNeededError(msg)
            raise self.failure
        plan, rows = self._plan, self._rows[-result.count :]
        del self._rows[-result.count :], self._results[-1:]
        with self._executing():
            self._execute_rows()
            return plan.execute(self.connection, rows)

    def _is_kept(self, result: WaitingResult) -> bool:
        return any(reference() is result for _, reference in self._results)

    def hear(self, statement: str | None = None) -> None:
        """Something else is about to be executed, and may do anything.

        Args:
            statement: its SQL, None if it is not known.
        """
        if not self._is_busy:
            self.flush(statement)
            self._forget()

    def flush_rows(self) -> None:
        """Executes the statements that have been waiting."""
        if not self._is_busy:
            with self._executing():
                self._execute_rows()

    def flush(self, before: str | None = None) -> None:
        """Executes what has been waiting.

        Args:
            before: the statement for which it is done; None for any.
        """
        if self._is_busy:
            return
        with self._executing():
            self._execute_rows()
            self.postponed.carry_out(before)

    def discard(self) -> None:
        """Forgets what has been waiting."""
        self._taken()
        self.postponed.clear()
        self._forget()

    def taken(self) -> Waiting | None:
        """What waits, for the caller to execute."""
        plan, rows, _ = self._taken()
        self.discard()
        return (plan, rows) if plan is not None and rows else None

    def hand_out(self) -> None:
        """Lets the driver's connection be used: nothing waits from now on."""
        if not self._is_busy:
            self._is_open = False
            self.hear()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Fails for the reason for which it failed first, whatever came of that."""
        try:
            yield
        except Exception as error:
            if self.failure is None or self.failure is error:
                raise
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def busy(self) -> Iterator[None]:
        """What is executed in the block does not end the waiting."""
        before, self._is_busy = self._is_busy, True
        try:
            yield
        finally:
            self._is_busy = before

    def is_blind(self, target: Target) -> bool:
        """Whether writing to a table cannot tell what has been executed.

        Args:
            target: the table.
        """
        return self._is_open and not target.has_side_effects(self._asking)

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        with self.busy():
            yield self.connection

    def _forget(self) -> None:
        if self.memory is not None:
            self.memory.forget()

    def _can_wait(self, plan: Plan) -> bool:
        # The last one does not wait in a savepoint, which may contain its failure.
        may_fail = self.is_for_last and (
            self.connection.in_nested_transaction() or plan.target.has_failed()
        )
        return plan.is_independent and not may_fail and self.is_blind(plan.target)

    def _add(self, plan: Plan, rows: Sequence[Any]) -> None:
        if plan is not self._plan or self.is_for_last:
            if self._rows:
                with self._executing():
                    self._execute_rows()
            self._plan = plan
        self._rows += rows
        self._last = None

    def _execute_rows(self) -> None:
        plan, rows, results = self._taken()
        if plan is not None:
            with plan.target.noting_failures():
                self._execute_all(plan, rows, results)

    def _execute_all(self, plan: Plan, rows: list[Any], results: list[Any]) -> None:
        done = 0
        for first, reference in results:
            # Who still has it may ask it for its `rowcount`.
            if (result := reference()) is not None:
                last = first + result.count
                plan.execute_merged(self.connection, rows[done:first])
                result.set(plan.execute(self.connection, rows[first:last]))
                done = last
        plan.execute_merged(self.connection, rows[done:])

    def _taken(self) -> tuple[Plan | None, list[Any], list[Any]]:
        taken = self._plan, self._rows, self._results
        self._plan, self._rows, self._results, self._last = None, [], [], None
        return taken

    @contextmanager
    def _executing(self) -> Iterator[None]:
        try:
            with self.busy():
                yield
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def _frozen(self, bound: Any) -> Any:
        """The values as they are now, None if one of them may change."""
        values = bound.values() if isinstance(bound, dict) else bound
        if _IMMUTABLE.issuperset(map(type, values)):
            return bound
        try:
            frozen = [self._frozen_value(each) for each in values]
        except TypeError:
            return None
        if isinstance(bound, dict):
            return dict(zip(bound, frozen, strict=True))
        return tuple(frozen)

    def _frozen_value(self, value: Any) -> Any:
        if type(value) in _IMMUTABLE:
            return value
        with self.busy():
            driver_connection = self.connection.connection.driver_connection
        return dialect_of(self.connection).frozen(value, driver_connection)
