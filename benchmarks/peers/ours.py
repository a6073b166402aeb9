"""Of this package."""

from typing import Any

from benchmarks.forms.declared import DeclaredCounts
from benchmarks.forms.inline import InlineCounts
from benchmarks.forms.orm import MappedCounts
from benchmarks.forms.single import SingleCounts
from eventsourcing_alchemy import SQLAlchemyProjectionRunner

BatchRunner = SQLAlchemyProjectionRunner
EventCounts = SingleCounts

FORMS = {
    "inline": InlineCounts,
    "declared": DeclaredCounts,
    "single": SingleCounts,
    "orm": MappedCounts,
}


def ask(recorder: Any, query: str) -> str:
    """The answer to a query, on a connection as the recorder uses them."""
    with recorder.datastore.reading() as connection:
        return str(connection.exec_driver_sql(query).scalar())
