"""Rebuilds of the same view exclude each other."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic, sleep

from eventsourcing_alchemy.host import OperationalError, PersistenceError
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.runners.lease import PAUSE, Lease

logger = logging.getLogger("eventsourcing_alchemy")

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
    _acquire(lease, in_use)
    try:
        with lease.holding(Event()):
            yield lease
    finally:
        # Else it would be shown as a projection that does not go on.
        with suppress(PersistenceError):
            lease.remove()


def _acquire(lease: Lease, in_use: ViewInUse) -> None:
    """Waits for a lease, which a rebuild that was killed has for some time."""
    if lease.acquire():
        return
    wait = LEASE_DURATION + PAUSE
    logger.warning(
        "%s is rebuilding %s: waiting %.0f s, in case it was killed",
        lease.current_holder(),
        in_use,
        wait,
    )
    ends = monotonic() + wait
    while not lease.acquire():
        if monotonic() > ends:
            holder = lease.current_holder()
            msg = f"{holder} is already rebuilding {in_use}: wait until it is done"
            raise ViewBusyError(msg)
        sleep(PAUSE)
