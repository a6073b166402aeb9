"""The view, and what it sees while it processes events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from eventsourcing.persistence import Tracking
from sqlalchemy import Connection, Executable, MetaData

from behaviour.differential import tables
from eventsourcing_alchemy import SQLAlchemyMaterialisedView


class ComparedView(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = tables.metadata


class PlainView(ComparedView):
    """Does all that the base class does in fewer steps one after the other."""

    def process(
        self, tracking: Tracking, statement: Executable, parameters: Any = None
    ) -> None:
        with self.processing(tracking) as connection:
            connection.execute(statement, parameters)


@dataclass
class Act:
    """What a step does its work with.

    Attributes:
        view: is written to.
        tracking: of the event.
        connection: in the transaction of the event.
        execute: that of the connection, or of a session.
        key: of the rows to write to.
        seen: what the view has read.
    """

    view: ComparedView
    tracking: Tracking
    connection: Connection
    execute: Callable[..., Any]
    key: str = ""
    seen: list[Any] = field(default_factory=list)

    @property
    def position(self) -> int:
        return self.tracking.notification_id

    def note(self, *values: Any) -> None:
        self.seen.append((self.key, *values))
