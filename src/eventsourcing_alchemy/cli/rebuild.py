"""`rebuild` and `reset`: a view is built again, or emptied."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from traceback import walk_tb
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.session import AsJson, Session, session_of
from eventsourcing_alchemy.errors import ConfigurationError, text_of
from eventsourcing_alchemy.host import DataError, IntegrityError, PersistenceError
from eventsourcing_alchemy.operations.declarations import Declaration
from eventsourcing_alchemy.operations.rebuild import (
    RebuildPhase,
    RebuildProgress,
    rebuild,
    reset,
)
from eventsourcing_alchemy.runners.worker import Worker
from eventsourcing_alchemy.views import SQLAlchemyMaterialisedView

INTERVAL = 1.0
"""Seconds between two lines about the progress."""

Name = Annotated[str, typer.Argument(help="Name of the declared projection.")]


class ProgressLines:
    """Tells how far a rebuild has come, now and then.

    Args:
        output: where to tell it.
    """

    def __init__(self, output: Output) -> None:
        self.last: RebuildProgress | None = None
        self._output = output
        self._told_at = self._began = monotonic()
        self._first: int | None = None

    def __call__(self, progress: RebuildProgress) -> None:
        """Notes how far it has come."""
        now = monotonic()
        if self._first is None:
            self._first = progress.position
        is_new_phase = self.last is None or progress.phase is not self.last.phase
        self.last = progress
        if is_new_phase or now - self._told_at >= INTERVAL:
            self._told_at = now
            self._output.tell(self._line(progress, now - self._began))

    def _line(self, progress: RebuildProgress, seconds: float) -> str:
        line = f"{progress.phase}: {progress.position:,} of {progress.goal:,}"
        rate = (progress.position - (self._first or 0)) / max(seconds, 0.001)
        if progress.phase is not RebuildPhase.BUILDING or rate <= 0:
            return line
        left = (progress.goal - progress.position) / rate
        return f"{line}, {rate:,.0f} events/s, {left:,.0f} s left"


def rebuild_command(
    context: typer.Context,
    name: Name,
    keep_old: Annotated[
        bool,
        typer.Option("--keep-old", help="Keep the old tables, as NAME__old."),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Start again from the first event if a rebuild was interrupted.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a view again beside the one in use, and put it in its place.

    Readers, writers and runners go on meanwhile. After an interruption, run the command
    again: it continues where it was.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    declaration = _declared(session, name)
    lines = ProgressLines(output)
    with _telling_of_events(output):
        rebuild(
            **_classes(declaration),
            poison=declaration.poison,
            progress=lines,
            keep_old=keep_old,
            restart=restart,
        )
    position = None if lines.last is None else lines.last.position
    if output.as_json:
        output.document("rebuild", projection=name, position=position)
    else:
        output.say(f"{name} is rebuilt.")


def reset_command(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Empty a view, so that its projection starts again at the first event.

    Stop its runners first.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    declaration = _declared(session, name)
    if not yes:
        typer.confirm(f"Delete all rows of the view {name!r}?", abort=True, err=True)
    reset(**_classes(declaration))
    if output.as_json:
        output.document("reset", projection=name)
    else:
        output.say(f"{name} is empty.")


def _declared(session: Session, name: str) -> Declaration:
    """A declaration. Of the others, too, the classes are known then.

    Raises:
        ConfigurationError: if one of them cannot be imported.
    """
    (declaration,) = session.declared([name])
    _classes(declaration)
    for each in session.declared():
        try:
            _classes(each)
        except Exception as error:
            is_clear = isinstance(error, ConfigurationError)
            msg = (
                f"Cannot tell whether {each.name!r} shares tables with {name!r}: "
                f"{error if is_clear else text_of(error)}. Mend the declaration, or "
                "pass a file without it as --config"
            )
            raise ConfigurationError(msg) from error
    return declaration


def _classes(declaration: Declaration) -> dict[str, Any]:
    # Event-sourced projections have no view, and are refused.
    view_class = (
        SQLAlchemyMaterialisedView
        if declaration.is_event_sourced
        else declaration.view_class
    )
    return {
        "application_class": declaration.application_class,
        "projection_class": declaration.projection_class,
        "view_class": view_class,
    }


_NOT_OF_EVENTS = PersistenceError, ConfigurationError


@contextmanager
def _telling_of_events(output: Output) -> Iterator[None]:
    """Tells what is wrong with an event, without a traceback."""
    try:
        yield
    except Exception as error:
        if not _is_of_event(error):
            raise
        output.tell(f"Error: an event cannot be processed: {text_of(error)}")
        raise typer.Exit(ExitCode.FOUND) from error


def _is_of_event(error: Exception) -> bool:
    """Whether a projection has raised it, or the database refuses what it writes."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    if all(frame.f_code is not Worker.process_event.__code__ for frame in frames):
        return False
    is_of_database = isinstance(error.__cause__, SQLAlchemyError)
    is_refused = is_of_database and isinstance(error, DataError | IntegrityError)
    return is_refused or not isinstance(error, _NOT_OF_EVENTS)
