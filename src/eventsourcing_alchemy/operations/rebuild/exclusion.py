"""Rebuilds of the same view exclude each other."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic

from eventsourcing_alchemy.host import OperationalError, PersistenceError
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.runners.lease import PAUSE, Lease

LEASE_DURATION = 15.0
"""Seconds after which another rebuild takes over from one that was killed."""


class ViewBusyError(OperationalError):
    """Somebody else works on the view. The message names who."""


@contextmanager
def alone(in_use: ViewInUse, new: NewView) -> Iterator[Lease]:
    """Makes sure that nobody else rebuilds the view in the block.

    Raises:
        ViewBusyError: if somebody does.
    """
    lease = Lease(
        in_use.recorder.datastore,
        new.view.name,
        in_use.application.name,
        duration=LEASE_DURATION,
    )
    ends = monotonic() + LEASE_DURATION + PAUSE
    never = Event()
    # One that was killed has it for some time.
    while not lease.acquire():
        if monotonic() > ends:
            holder = lease.current_holder()
            msg = f"{holder} is already rebuilding {in_use}: wait until it is done"
            raise ViewBusyError(msg)
        never.wait(PAUSE)
    try:
        with lease.holding(never):
            yield lease
    finally:
        # Else it would be shown as a projection that does not go on.
        with suppress(PersistenceError):
            lease.remove()
