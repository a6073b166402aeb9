"""What a user of each persistence module writes: a view, and how it is run."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.projection import BaseProjectionRunner

TABLE = "event_counts"
"""Of each view: a row for each kind of event, with `name` and `value`."""

_MODULES = {
    "eventsourcing_alchemy": "benchmarks.peers.ours",
    "eventsourcing.postgres": "benchmarks.peers.host_postgres",
    "eventsourcing.sqlite": "benchmarks.peers.host_sqlite",
    "eventsourcing_sqlalchemy": "benchmarks.peers.sqlalchemy_peer",
}


class CountingView(Protocol):
    """A view that counts the events of each kind."""

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one, in the transaction that tracks it."""


class Peer(Protocol):
    """A module of this package."""

    EventCounts: type[TrackingRecorder]
    BatchRunner: type[BaseProjectionRunner[Any]]
    """The module's fastest runner."""

    def ask(self, recorder: Any, query: str) -> str:
        """The answer to a query, on a connection as the recorder uses them."""


def peer(persistence_module: str) -> Peer:
    """What belongs to a persistence module."""
    module: Any = import_module(_MODULES[persistence_module])
    return module  # type: ignore[no-any-return]


def view_of(persistence_module: str, form: str) -> type[TrackingRecorder]:
    """The view that is written in a form, if there are several; else the only one."""
    module: Any = peer(persistence_module)
    forms: Mapping[str, type[TrackingRecorder]] = getattr(module, "FORMS", {})
    found: type[TrackingRecorder] = forms.get(form, module.EventCounts)
    return found
