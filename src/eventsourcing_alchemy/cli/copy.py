"""`copy`: an application moves in."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.progress import shown_progress
from eventsourcing_alchemy.cli.session import AsJson, session_of, settings_in
from eventsourcing_alchemy.operations.discrepancies import VerificationError
from eventsourcing_alchemy.operations.transfer import copy as transfer
from eventsourcing_alchemy.operations.transfer.run import Copied

SourceFile = Annotated[
    Path,
    typer.Option(
        "--from",
        exists=True,
        dir_okay=False,
        help="File with the settings of the source, as lines of NAME=value.",
    ),
]


def copy(
    context: typer.Context,
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    source: SourceFile,
    projection: Annotated[
        list[str] | None,
        typer.Option(help="Copy the position of this projection, too. Repeatable."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Keep copying new events until SIGINT or SIGTERM.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy an application from another persistence module, and verify the copy.

    The environment holds the settings of the target. After an error, or to copy new
    events, run the command again. The exit code is 1 if the two sides differ.
    """
    output = session_of(context).output(as_json=as_json)
    with shown_progress(output) as progress, _stopping(follow=follow) as stop:
        try:
            copied = transfer.copy(
                settings_in(source),
                os.environ,
                application,
                projection or (),
                follow=follow,
                stop=stop,
                progress=progress,
            )
        except VerificationError as error:
            different = error
        else:
            _show(output, application, copied)
            return
    _show_differences(output, application, different)
    raise typer.Exit(ExitCode.FOUND)


@contextmanager
def _stopping(*, follow: bool) -> Iterator[Event]:
    """Makes an event of the first signal; the second one does as ever."""
    stop = Event()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def tell(*_: object) -> None:
        stop.set()
        restore()

    if follow:
        for each in (signal.SIGINT, signal.SIGTERM):
            before[each] = signal.signal(each, tell)
    try:
        yield stop
    finally:
        restore()


def _show(output: Output, application: str, copied: Copied) -> None:
    if output.as_json:
        output.document("copy", application=application, **asdict(copied), differs=[])
        return
    output.say(
        f"Copied {copied.events:,} events and {copied.snapshots:,} snapshots of "
        f"{application}, up to position {copied.position:,}."
    )
    for projection, positions in copied.positions.items():
        for name, position in positions.items():
            output.say(f"{projection} is at position {position:,} of {name}.")
    output.say(f"Compared {copied.verified:,} records: both sides are the same.")


def _show_differences(
    output: Output, application: str, error: VerificationError
) -> None:
    if output.as_json:
        output.document(
            "copy",
            application=application,
            differs=list(error.discrepancies),
            are_all=error.are_all,
        )
        return
    for each in error.discrepancies:
        output.say(each)
    if not error.are_all:
        output.say("There are more.")
