"""`dead-letters`: events that a projection has passed over."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from eventsourcing_alchemy.cli.bounds import MOST
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.operations.dead_letters import (
    dead_letters_at,
    discard_letter,
    select_dead_letters,
)
from eventsourcing_alchemy.operations.opening import opened
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.runners.dead_letters import DeadLetters

COLUMNS = (
    "projection",
    "application",
    "position",
    "passed over at",
    "attempts",
    "topic",
    "error",
)

app = typer.Typer(
    no_args_is_help=True, help="List, show, retry and discard dead letters."
)

Projection = Annotated[str, typer.Argument(help="Name of the projection.")]
Positions = Annotated[
    list[int] | None, typer.Argument(help="Positions of the events.", min=1)
]
OfApplication = Annotated[
    str | None,
    typer.Option("--application", help="Only events of this application."),
]
All = Annotated[bool, typer.Option("--all", help="All dead letters of the projection.")]


@app.command("list")
def list_(
    context: typer.Context,
    projections: Annotated[
        list[str] | None, typer.Argument(help="Names of projections. Default: all.")
    ] = None,
    application: OfApplication = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST, help="Show at most this many.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters. The exit code is 1 if there are any."""
    session = session_of(context)
    output = session.output(as_json=as_json)
    found: list[DeadLetter] = []
    with session.datastores(projections or []) as datastores:
        for datastore, names in datastores:
            left = limit - len(found)
            found += select_dead_letters(
                datastore, names, application=application, limit=left
            )
    if output.as_json:
        output.document("dead-letters list", dead_letters=found)
    else:
        output.table(COLUMNS, map(_row, found), empty="No dead letters.")
    if found:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
def show(
    context: typer.Context,
    projection: Projection,
    position: Annotated[int, typer.Argument(help="Position of the event.", min=1)],
    application: OfApplication = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter, with the traceback of the last attempt."""
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(projection) as datastore:
        (letter,) = dead_letters_at(datastore, projection, [position], application)
    if output.as_json:
        output.document("dead-letters show", dead_letter=letter)
        return
    output.record({**dict(zip(COLUMNS, _row(letter), strict=True)), **_whose(letter)})
    output.say()
    output.lines(letter.traceback or "No traceback was kept.")


@app.command()
def retry(
    context: typer.Context,
    projection: Annotated[str, typer.Argument(help="Name of the declared projection.")],
    positions: Positions = None,
    everything: All = False,
    application: OfApplication = None,
    as_json: AsJson = False,
) -> None:
    """Process the events of dead letters. The exit code is 1 if one fails again."""
    _refuse_unclear(positions, everything=everything)
    session = session_of(context)
    output = session.output(as_json=as_json)
    (declaration,) = session.declared([projection])
    with opened(declaration) as (app, found):
        recorder = found.recorder if declaration.is_event_sourced else found.view
        letters = dead_letters_at(
            recorder.datastore, recorder.name, positions or [], application
        )
        dead_letters = DeadLetters(recorder)
        _do(
            output,
            ("retry", "processed"),
            letters,
            lambda each: dead_letters.retry(each, app, found),
        )


@app.command()
def discard(
    context: typer.Context,
    projection: Projection,
    positions: Positions = None,
    everything: All = False,
    application: OfApplication = None,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters. Their events stay unprocessed."""
    _refuse_unclear(positions, everything=everything)
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(projection) as datastore:
        letters = dead_letters_at(datastore, projection, positions or [], application)
        act = partial(discard_letter, datastore)
        _do(output, ("discard", "discarded"), letters, act)


def _refuse_unclear(positions: list[int] | None, *, everything: bool) -> None:
    if bool(positions) == everything:
        raise typer.BadParameter("pass positions, or --all")


def _do(
    output: Output,
    words: tuple[str, str],
    letters: Sequence[DeadLetter],
    act: Callable[[DeadLetter], None],
) -> None:
    """Acts on dead letters, and tells of each, also if the user interrupts it."""
    command, done = words
    outcomes: list[dict[str, Any]] = []
    try:
        for each in letters:
            problem = _problem(act, each)
            outcomes.append({**_key(each), "problem": problem})
            where = f"position {each.notification_id} of {each.application_name!r}"
            output.say(f"{where}: {problem or done}")
    except KeyboardInterrupt:
        output.tell(
            f"Interrupted after {len(outcomes)} of {len(letters)} dead letters: list "
            "them to see which ones are left"
        )
        raise
    finally:
        if output.as_json:
            output.document(f"dead-letters {command}", outcomes=outcomes)
    if not letters:
        output.say("No dead letters.")
    if any(each["problem"] for each in outcomes):
        raise typer.Exit(ExitCode.FOUND)


def _problem(act: Callable[[DeadLetter], None], letter: DeadLetter) -> str | None:
    try:
        act(letter)
    except Exception as error:  # Whatever a projection raises.
        return text_of(error)
    return None


def _key(each: DeadLetter) -> dict[str, Any]:
    return {
        "projection_name": each.projection_name,
        "application_name": each.application_name,
        "notification_id": each.notification_id,
    }


def _row(each: DeadLetter) -> tuple[object, ...]:
    return (
        each.projection_name,
        each.application_name,
        each.notification_id,
        each.recorded_at,
        each.attempts,
        each.topic,
        each.error,
    )


def _whose(each: DeadLetter) -> dict[str, object]:
    return {"aggregate": each.originator_id, "version": each.originator_version}
