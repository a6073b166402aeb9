"""What happens at the end of the interpreter, when daemon threads are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from backends import Capability

_PROGRAM = """
import gc, time
from threading import Event
from eventsourcing_alchemy.resilience.connection_setup import _while_known
from eventsourcing_alchemy.resilience.watchdog import Watchdog

def leave_a_session():
    looks = []
    looked = Event()

    def descriptor(connection):
        looks.append(connection)
        if len(looks) > 1:  # By the thread, which holds the lock.
            looked.set()
            time.sleep(60)
        return 1

    beginning = _while_known(Watchdog(descriptor).watching("connection", 0))
    next(beginning)
    cycle = [beginning]
    cycle.append(cycle)
    looked.wait()

gc.disable()
leave_a_session()
gc.enable()
"""


def test_session_that_has_failed_to_begin() -> None:
    """Its block is ended by the garbage collector, and waits for no thread."""
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, timeout=30)


_OPEN_BLOCK = """
from contextlib import ExitStack
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

application = Application()
stack = ExitStack()
stack.enter_context(application.recorder.transaction())
application.save(Aggregate())
"""


@pytest.mark.needs(Capability.SHARED)
def test_block_that_is_still_open(env: Mapping[str, str]) -> None:
    """It rolls back, and waits for no thread either."""
    subprocess.run(
        [sys.executable, "-c", _OPEN_BLOCK],
        check=True,
        timeout=30,
        env={**os.environ, **env},
    )
