"""Who calls: a thread, and the task that runs in it."""

import sys
from contextlib import suppress
from threading import get_ident
from typing import cast


def current_caller() -> tuple[int, object]:
    """Thread and task, equal where the calls are of the same ones."""
    return get_ident(), _task()


def _task() -> object:
    """The current task of asyncio or Trio, None outside of them."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio.lowlevel")
    # Asked first, because current_task() raises an exception where no loop runs.
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001
        task: object = asyncio.current_task()
        if task is not None:
            return task
    if trio is not None:
        with suppress(RuntimeError):  # Its loop does not run in this thread.
            return cast("object", trio.current_task())
    return None
