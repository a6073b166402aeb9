"""`status`: how far projections are, and who works."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic, sleep
from typing import Annotated, Any

import typer

from eventsourcing_alchemy.cli.bounds import LONGEST, finite
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.operations.overview import (
    Overview,
    ProjectionStatus,
    overview,
)
from eventsourcing_alchemy.operations.progress import ProjectionProgress, progress_of
from eventsourcing_alchemy.operations.reading import UnknownNameError

COLUMNS: tuple[str, ...] = (
    "projection",
    "application",
    "position",
    "last",
    "lag",
    "seconds",
    "state",
    "dead letters",
    "lease",
    "until",
    "standbys",
)
OF_PROGRESS = ("events/s", "caught up in")

Progress = Mapping[tuple[str, str], ProjectionProgress]


def status(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of projections. Default: all.")
    ] = None,
    max_lag: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Exit with 1 if a projection is further behind, in seconds.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until interrupted, and show rates.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            min=0.1, max=LONGEST, callback=finite, help="Seconds between refreshes."
        ),
    ] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show applications and projections: positions, lag, leases, dead letters.

    With --watch, refresh until interrupted. With --watch and --json, print one document
    a line for each refresh.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastores(names or []) as datastores:

        def look() -> Overview:
            return _together(
                [_selected(overview(each), users) for each, users in datastores]
            )

        seen = _watched(output, look, interval) if watch else look()
    if not watch:
        _print(output, seen, {})
    if max_lag is not None and any(_is_beyond(it, max_lag) for it in seen.projections):
        raise typer.Exit(ExitCode.FOUND)


def _watched(output: Output, look: Callable[[], Overview], interval: float) -> Overview:
    """The last of many looks, until the user has enough."""
    began, seen = monotonic(), look()
    progress: Progress = {}
    try:
        while True:
            if output.console.is_terminal and not output.as_json:
                output.console.clear()
            _print(output, seen, progress, is_one_of_many=True)
            sleep(interval)
            now, following = monotonic(), look()
            progress = progress_of(seen, following, now - began)
            began, seen = now, following
    except KeyboardInterrupt:
        return seen


def _print(
    output: Output, seen: Overview, progress: Progress, *, is_one_of_many: bool = False
) -> None:
    if not output.as_json:
        _show(output, seen, progress)
        return
    content: dict[str, Any] = {
        "applications": seen.applications,
        "projections": seen.projections,
    }
    if is_one_of_many:
        rows = [
            {"name": name, "application": application, "progress": each}
            for (name, application), each in progress.items()
        ]
        output.line("status", **content, progress=rows)
    else:
        output.document("status", **content)


def _together(each: Sequence[Overview]) -> Overview:
    return Overview(
        [application for seen in each for application in seen.applications],
        [projection for seen in each for projection in seen.projections],
    )


def _selected(seen: Overview, names: Sequence[str]) -> Overview:
    known = {each.name for each in seen.projections}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(map(repr, sorted(known))) or "none"
        msg = f"There is no projection {unknown[0]!r}: the database has {there}"
        raise UnknownNameError(msg)
    if not names:
        return seen
    chosen = [each for each in seen.projections if each.name in names]
    of = {each.application for each in chosen}
    return Overview([each for each in seen.applications if each.name in of], chosen)


def _is_beyond(each: ProjectionStatus, max_lag: float) -> bool:
    """Whether the lag is, or may be."""
    return each.lag_seconds is None or each.lag_seconds > max_lag


def _show(output: Output, seen: Overview, progress: Progress) -> None:
    applications = (
        (each.name, each.last_position, each.rate, each.recorded_at)
        for each in seen.applications
    )
    output.table(
        ("application", "last", "events/s", "last recorded at"),
        applications,
        empty="No applications.",
    )
    output.say()
    columns, rows = COLUMNS, map(_row, seen.projections)
    if progress:
        columns = (*COLUMNS, *OF_PROGRESS)
        rows = map(partial(_row_with_progress, progress), seen.projections)
    output.table(columns, rows, empty="No projections.")


def _row_with_progress(
    progress: Progress, each: ProjectionStatus
) -> tuple[object, ...]:
    found = progress.get((each.name, each.application))
    if found is None:
        return (*_row(each), None, None)
    left = found.seconds_left
    return (*_row(each), found.rate, "never" if left is None else f"{left:,.0f} s")


def _row(each: ProjectionStatus) -> tuple[object, ...]:
    lease = each.lease
    return (
        each.name,
        each.application,
        each.position,
        each.last_position,
        each.lag,
        "?" if each.lag_seconds is None else each.lag_seconds,
        each.state,
        each.dead_letters,
        lease and lease.holder,
        lease and lease.expires_at,
        len(each.standbys),
    )
