"""Processing the event of a dead letter after all, by a projection that is declared."""

from collections.abc import Sequence

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.operations.declarations import Declaration
from eventsourcing_alchemy.operations.opening import opened
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.runners.dead_letters import DeadLetters


def declaration_of(
    letter: DeadLetter, declared: Sequence[Declaration]
) -> Declaration | None:
    """The declaration of the projection of a dead letter, None if there is none.

    Args:
        letter: the dead letter.
        declared: all that are known.
    """
    return next((each for each in declared if _is_of(letter, each)), None)


def _is_of(letter: DeadLetter, declaration: Declaration) -> bool:
    try:
        names = declaration.projection_name, declaration.application_name
    except ConfigurationError:  # Of a class that is not there.
        return False
    return names == (letter.projection_name, letter.application_name)


def retry_letter(letter: DeadLetter, declared: Sequence[Declaration]) -> None:
    """Processes an event after all, and forgets its dead letter.

    Args:
        letter: of the event.
        declared: projections, the one in question among them.

    Raises:
        UnknownNameError: if the projection is not declared.
        Exception: what the projection raised. The dead letter stays then.
    """
    declaration = declaration_of(letter, declared)
    if declaration is None:
        msg = f"Projection {letter.projection_name!r} is not declared here"
        raise UnknownNameError(msg)
    with opened(declaration) as (application, projection):
        is_application = declaration.is_event_sourced
        recorder = projection.recorder if is_application else projection.view
        DeadLetters(recorder).retry(letter, application, projection)
