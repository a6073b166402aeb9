"""What a record is made of, by the kind of events."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from eventsourcing_alchemy.schema import tables

Row = tuple[Any, ...]
"""The values of a layout's columns."""


@dataclass(frozen=True)
class Layout:
    """The columns of events of one kind, in the order in which they are copied.

    Attributes:
        table: of this package, with a column `application_id` beside these.
        columns: names; the position comes first, the time of recording last.
        body: name of the column that has the serialised event.
        id_type: value of ORIGINATOR_ID_TYPE; None for events with tags.
    """

    table: Table
    columns: tuple[str, ...]
    body: str
    id_type: str | None

    @property
    def position(self) -> str:
        """Name of the column that has the position."""
        return self.columns[0]


_RECORD = ("originator_id", "originator_version", "topic", "state", "recorded_at")

UUIDS = Layout(tables.events, ("notification_id", *_RECORD), "state", "uuid")
"""Events of aggregates with UUIDs."""

TEXTS = Layout(tables.text_events, ("notification_id", *_RECORD), "state", "text")
"""Events of aggregates with text IDs."""

TAGGED = Layout(
    tables.dcb_events,
    ("position", "type", "data", "tags", "append_id", "recorded_at"),
    "data",
    None,
)
"""Events with tags."""

BY_ID_TYPE = {"uuid": UUIDS, "text": TEXTS}
