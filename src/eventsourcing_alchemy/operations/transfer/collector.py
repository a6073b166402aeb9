"""What Python's garbage collector does while rows come and go."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 100_000
"""Objects, several times those of the pages that are in memory."""


@contextmanager
def spared_collections() -> Iterator[None]:
    """Has the collector begin later, in the block.

    Each page is thousands of tuples, after which it would look through all objects of
    the process: that took as long as all the rest. Nothing of a page needs it.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(THRESHOLD, before[0]) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
