"""How far a command is, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.operations.transfer.progress import CopyProgress

INTERVAL = 10.0
"""Seconds between two lines, where nobody looks at a terminal."""


@contextmanager
def shown_progress(output: Output) -> Iterator[Callable[[CopyProgress], None]]:
    """Shows progress: in a line that changes, on a terminal; else now and then.

    Args:
        output: its messages are written to.

    Yields:
        What to call with each progress.
    """
    if output.messages.is_terminal:
        with output.messages.status("") as status:
            yield lambda progress: status.update(described(progress))
        return
    told = monotonic()

    def tell(progress: CopyProgress) -> None:
        nonlocal told
        if monotonic() - told >= INTERVAL:
            told = monotonic()
            output.tell(described(progress))

    yield tell


def described(progress: CopyProgress) -> str:
    """A progress in words: count, rate, time left."""
    of = "" if progress.total is None else f" of {progress.total:,}"
    parts = [f"{progress.phase}: {progress.done:,}{of}"]
    if progress.rate:
        parts.append(f"{progress.rate:,.0f}/s")
    if progress.seconds_left:
        parts.append(f"{timedelta(seconds=round(progress.seconds_left))} left")
    return ", ".join(parts)
