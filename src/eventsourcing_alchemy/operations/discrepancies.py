"""What is wrong with what is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventsourcing_alchemy.host import PersistenceError, ProgrammingError


@dataclass(frozen=True)
class Discrepancy:
    """A problem that `compare()` or `verify()` found.

    Attributes:
        application: the name of the application; None if it concerns none.
        position: the position of the event, or of the first of several; None if there
            is none.
        problem: what is wrong.
    """

    application: str | None
    position: int | None
    problem: str

    def __str__(self) -> str:
        where = [] if self.application is None else [repr(self.application)]
        if self.position is not None:
            where.append(f"position {self.position}")
        return f"{', '.join(where)}: {self.problem}" if where else self.problem


class VerificationError(PersistenceError):
    """A copy differs from its source.

    Attributes:
        discrepancies: the first problems that were found.
        are_all: whether these are all problems.
    """

    def __init__(self, discrepancies: Sequence[Discrepancy], *, are_all: bool) -> None:
        self.discrepancies = tuple(discrepancies)
        self.are_all = are_all
        more = "" if are_all else "; and more"
        super().__init__(f"{'; '.join(map(str, discrepancies))}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Also another process can raise it, which exceptions of this form do not."""
        construct = partial(type(self), self.discrepancies, are_all=self.are_all)
        return construct, ()


class CopyRefusedError(ProgrammingError):
    """A copy was refused, because it would damage the source or the target."""
