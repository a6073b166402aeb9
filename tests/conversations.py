"""What is said to a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


@contextmanager
def conversation(engine: Engine) -> Iterator[list[str]]:
    """The statements that are executed within the block, and COMMIT."""
    said: list[str] = []

    def hear_statement(*arguments: Any) -> None:
        said.append(arguments[2])

    def hear_commit(_: Connection) -> None:
        said.append("COMMIT")

    event.listen(engine, "before_cursor_execute", hear_statement)
    event.listen(engine, "commit", hear_commit)
    yield said
    event.remove(engine, "before_cursor_execute", hear_statement)
    event.remove(engine, "commit", hear_commit)
