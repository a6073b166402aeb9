"""What the demo prints: steps, a progress bar, tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from git_history.view import Activity

Advance = Callable[[int], None]
"""Told from time to time how many are done."""

FIRST = 10
"""Transactions whose sizes are printed."""


def step(console: Console, text: str) -> None:
    """Print what the demo does next."""
    console.print(Text(f"\n{text}", "bold"), soft_wrap=True)


def note(console: Console, text: str) -> None:
    """Print what came of it."""
    console.print(Text(f"  {text}"), soft_wrap=True)


@contextmanager
def progress(console: Console, what: str, total: int) -> Iterator[Advance]:
    """Show how far a step is, and at the end how fast it went.

    A bar on a terminal; elsewhere, as in a log, a line for every tenth.
    """
    started = monotonic()
    done = 0
    shown = _bar if console.is_terminal else _lines
    with shown(console, what, total) as show:

        def advance(now: int) -> None:
            nonlocal done
            done = now
            show(done, _rate(done, started))

        yield advance
    seconds = monotonic() - started
    note(console, f"{what} {done:,} in {seconds:.1f} s: {_rate(done, started)}")


@contextmanager
def _bar(
    console: Console, what: str, total: int
) -> Iterator[Callable[[int, str], None]]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")
        yield lambda done, rate: bar.update(task, completed=done, rate=rate)


@contextmanager
def _lines(
    console: Console, what: str, total: int
) -> Iterator[Callable[[int, str], None]]:
    tenth = 0

    def show(done: int, rate: str) -> None:
        nonlocal tenth
        if done * 10 >= (tenth + 1) * total and done < total:
            tenth = done * 10 // total
            percent = min(round(100 * done / total), 99)
            note(console, f"{what} {done:,} of {total:,} ({percent}%), {rate}")

    yield show


def _rate(done: int, started: float) -> str:
    return f"{done / max(monotonic() - started, 0.001):,.0f}/s"


def batches(console: Console, sizes: Sequence[int]) -> None:
    """Print how many events shared each transaction: of many, those of the first."""
    note(
        console, f"transactions: {len(sizes):,}, which grow up to 500 events, or 50 ms"
    )
    first = ", ".join(f"{size:,}" for size in sizes[:FIRST])
    more = f", … up to {max(sizes):,}" if len(sizes) > FIRST else ""
    note(console, f"events in each: {first or 'none'}{more}")


def activity(console: Console, name: str, rows: Mapping[str, Activity]) -> None:
    """Print commits and changed lines, a row each."""
    table = Table()
    table.add_column(name, width=30, no_wrap=True)
    for column in ("commits", "added", "removed", "lines/commit"):
        table.add_column(column, justify="right")
    for key, row in rows.items():
        numbers = (row.commits, row.lines.added, row.lines.removed)
        per_commit = (row.lines.added + row.lines.removed) / max(row.commits, 1)
        table.add_row(
            Text(key), *(f"{number:,}" for number in numbers), f"{per_commit:,.1f}"
        )
    console.print(table)
