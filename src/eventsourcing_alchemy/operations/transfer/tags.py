"""The rows of tags that belong to rows of events."""

from collections.abc import Sequence
from typing import Any

from eventsourcing_alchemy.operations.transfer.layouts import TAGGED
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.row_mapping import tags_of

COLUMNS = ("application_id", "tag", "position", "type")
"""Of a row of `es_dcb_tags`."""

_TYPE, _TAGS = TAGGED.columns.index("type"), TAGGED.columns.index("tags")


def each_tag(row: Sequence[Any]) -> list[str]:
    """The tags of an event, each once.

    Raises:
        DataError: if what is stored are no tags.
    """
    return list(dict.fromkeys(tags_of(row[0], row[_TAGS])))


def tag_rows(application_id: int, rows: Rows) -> Rows:
    """The rows of tags of some events.

    Args:
        application_id: whose they are.
        rows: the events.
    """
    return [
        (application_id, tag, row[0], row[_TYPE])
        for row in rows
        for tag in each_tag(row)
    ]
