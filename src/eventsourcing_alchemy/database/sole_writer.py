"""Code that may write by one engine only: what it does besides would be done again."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import Engine

from eventsourcing_alchemy.host import ProgrammingError


class BesideViewError(ProgrammingError):
    """A rebuild does not let a projection write to anything but its view."""


_sole: ContextVar[tuple[Engine, str] | None] = ContextVar("sole writer", default=None)


@contextmanager
def sole_writer(engine: Engine, refusal: str) -> Iterator[None]:
    """Refuses transactions that write by any other engine, in the context of the block.

    Args:
        engine: of the transactions that are not refused.
        refusal: says why, and what to do instead.
    """
    token = _sole.set((engine, refusal))
    try:
        yield
    finally:
        _sole.reset(token)


def refuse_other_writer(engine: Engine) -> None:
    """Makes sure that a transaction of an engine may write here.

    Raises:
        BesideViewError: if another engine is the only one that may.
    """
    sole = _sole.get()
    if sole is not None and sole[0] is not engine:
        raise BesideViewError(sole[1])
