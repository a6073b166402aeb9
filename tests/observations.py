"""Who sees the statements that are executed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from sqlalchemy import Engine, event


class Observation(Enum):
    """Who sees the statements."""

    NOBODY = auto()
    LISTENER_OF_CURSORS = auto()
    LISTENER_OF_CORE = auto()
    ECHO = auto()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Is there in the block."""
        if self is Observation.LISTENER_OF_CURSORS:
            with _listening("before_cursor_execute"):
                yield
        elif self is Observation.LISTENER_OF_CORE:
            with _listening("before_execute"):
                yield
        elif self is Observation.ECHO:
            with _logging():
                yield
        else:
            yield


def _hear(*_: Any) -> None:
    """Nothing."""


@contextmanager
def _listening(name: str) -> Iterator[None]:
    event.listen(Engine, name, _hear)
    try:
        yield
    finally:
        event.remove(Engine, name, _hear)


@contextmanager
def _logging() -> Iterator[None]:
    logger = logging.getLogger("sqlalchemy.engine")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagates
