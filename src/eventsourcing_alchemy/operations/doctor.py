"""What to look after, in the database and around it."""

import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import environ
from time import monotonic

from sqlalchemy import URL, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dialects.base.diagnosis import Finding, Level
from eventsourcing_alchemy.environments import persistence_module_problem
from eventsourcing_alchemy.errors import ConfigurationError, text_of
from eventsourcing_alchemy.host import Environment, PersistenceError
from eventsourcing_alchemy.operations.overview import (
    ProjectionState,
    ProjectionStatus,
    overview,
)
from eventsourcing_alchemy.operations.privileges import refused_statements
from eventsourcing_alchemy.operations.reading import Reader, in_utc, read
from eventsourcing_alchemy.operations.schema import schema_differences, schema_status
from eventsourcing_alchemy.schema.tables import metadata
from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.subscriptions.commit_notifications import (
    CannotListenError,
    verify_listening,
)

FROZEN_AFTER = 60.0
"""Seconds that an event waits although somebody works."""

MOST_CLOCK_DIFFERENCE = 2.0
"""Seconds between the clock of the database and that of this machine."""

CONNECTION = "connection"
"""The check without which there are few others."""

_PACKAGES = ("eventsourcing-alchemy", "eventsourcing", "SQLAlchemy", "alembic")

Findings = Iterator[Finding]


def examine(datastore: SQLAlchemyDatastore) -> Sequence[Finding]:
    """Looks after everything that this process, and its connections, can tell.

    Writes nothing; what it tries is rolled back.

    Args:
        datastore: the database.
    """
    findings = [*_versions(), *_persistence_module(), *_connection(datastore)]
    if is_reachable(findings):
        for check in _CHECKS:
            findings += _checked(check, datastore)
    return findings


def is_reachable(findings: Sequence[Finding]) -> bool:
    """Whether there was a database to examine."""
    return Level.OK in {each.level for each in findings if each.check == CONNECTION}


def _checked(
    check: Callable[[SQLAlchemyDatastore], Findings], datastore: SQLAlchemyDatastore
) -> list[Finding]:
    try:
        return [*check(datastore)]
    except PersistenceError as error:
        name = check.__name__.removeprefix("_").replace("_", " ")
        return [Finding(name, Level.ERROR, text_of(error), "See the other lines")]


def _versions() -> Findings:
    packages = [f"{name} {version(name)}" for name in _PACKAGES]
    shown = ", ".join([*packages, f"Python {platform.python_version()}"])
    yield Finding("versions", Level.OK, shown)


def _persistence_module() -> Findings:
    problem = persistence_module_problem(Environment("", dict(environ)))
    if problem is None:
        yield Finding("PERSISTENCE_MODULE", Level.OK, environ["PERSISTENCE_MODULE"])
    else:
        text, _, remedy = problem.rpartition(": ")
        yield Finding("PERSISTENCE_MODULE", Level.WARNING, text, remedy)


def _connection(datastore: SQLAlchemyDatastore) -> Findings:
    url = _shown(datastore.engine.url)
    began = monotonic()
    try:
        server = read(datastore, lambda it: datastore.dialect.server(it.connection))
        connected = monotonic()
        _now(datastore)
    except (PersistenceError, ConfigurationError) as error:
        remedy = "Check SQLALCHEMY_URL, the network, the user and the password"
        yield Finding(CONNECTION, Level.ERROR, f"{url}: {text_of(error)}", remedy)
        return
    times = (
        f"{_ms(connected - began)} to connect, {_ms(monotonic() - connected)} to query"
    )
    yield Finding(CONNECTION, Level.OK, f"{url}: {server}, {times}")


def _shown(url: URL) -> str:
    """Without the password, and options that may be one."""
    query = {name: value for name, value in url.query.items() if name == "host"}
    return url.set(query=query).render_as_string(hide_password=True)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _now(datastore: SQLAlchemyDatastore) -> datetime:
    def look(reader: Reader) -> datetime:
        now: datetime = reader.rows(select(database_now()))[0][0]
        return in_utc(now)

    return read(datastore, look)


def _schema(datastore: SQLAlchemyDatastore) -> Findings:
    status = schema_status(datastore)
    if status.is_current and status.problem is not None:
        text = "All tables exist. This user cannot read their revision"
        yield Finding("schema", Level.OK, text)
        return
    if status.is_current:
        yield _tables(datastore, status.revision)
        return
    text = f"at {status.revision or 'no revision'}"
    if status.revision != status.head:
        text += f", not {status.head}"
    if status.missing:
        text += f", and lacks {', '.join(status.missing)}"
    level = Level.ERROR if status.missing else Level.WARNING
    yield Finding("schema", level, text, status.remedy.capitalize())


def _tables(datastore: SQLAlchemyDatastore, revision: str | None) -> Finding:
    found = len(schema_differences(datastore))
    if not found:
        return Finding("schema", Level.OK, f"at {revision}, which is current")
    text = f"at {revision}. Differences from the tables of this version: {found}"
    remedy = "See where: eventsourcing-alchemy schema check"
    return Finding("schema", Level.WARNING, text, remedy)


def _privileges(datastore: SQLAlchemyDatastore) -> Findings:
    if schema_status(datastore).missing:
        return
    refused = refused_statements(datastore)
    for each in refused:
        remedy = (
            "GRANT it: see 'Give applications few rights'"
            if each.is_of_rights
            else "Compare the tables: eventsourcing-alchemy schema check"
        )
        yield Finding("privileges", Level.ERROR, each.text, remedy)
    if not refused:
        yield Finding("privileges", Level.OK, "Applications and projections may work")


def _storage(datastore: SQLAlchemyDatastore) -> Findings:
    schema, names = datastore.schema, [*metadata.tables]

    def look(reader: Reader) -> Sequence[str]:
        return datastore.dialect.without_transactions(reader.connection, schema, names)

    for each in read(datastore, look):
        text = f"A rollback does not undo changes of {each}"
        yield Finding("storage", Level.ERROR, text, f"ALTER TABLE {each} ENGINE=InnoDB")


def _server(datastore: SQLAlchemyDatastore) -> Findings:
    dialect, url = datastore.dialect, datastore.engine.url

    def look(reader: Reader) -> list[Finding]:
        connection = reader.connection
        return [
            *dialect.durability(connection),
            *dialect.limits(connection),
            *dialect.between(connection, url),
        ]

    yield from read(datastore, look)


def _notifications(datastore: SQLAlchemyDatastore) -> Findings:
    check = "NOTIFY"
    if datastore.settings.subscribe == "poll":
        yield Finding(
            check,
            Level.OK,
            "switched off: subscriptions poll for events of other processes",
        )
        return
    try:
        verify_listening(datastore)
    except CannotListenError:
        yield Finding(
            check,
            Level.OK,
            "not available here: subscriptions poll for events of other processes",
        )
    except PersistenceError as error:
        remedy = (
            "Set SQLALCHEMY_LISTEN_URL past the pooler, or SQLALCHEMY_SUBSCRIBE=poll"
        )
        yield Finding(check, Level.WARNING, str(error), remedy)
    else:
        yield Finding(check, Level.OK, "arrives")


def _clock(datastore: SQLAlchemyDatastore) -> Findings:
    asked = datetime.now(UTC)
    theirs = _now(datastore)
    ours = asked + (datetime.now(UTC) - asked) / 2
    seconds = (theirs - ours).total_seconds()
    text = f"The clock of the database is {seconds:+.1f} s off that of this machine"
    if abs(seconds) <= MOST_CLOCK_DIFFERENCE:
        yield Finding("clock", Level.OK, text)
    else:
        remedy = (
            "Synchronise both clocks by NTP: recording times come from the database"
        )
        yield Finding("clock", Level.WARNING, text, remedy)


def _projections(datastore: SQLAlchemyDatastore) -> Findings:
    if schema_status(datastore).missing:
        return
    projections = overview(datastore).projections
    found = [finding for each in projections for finding in _problems(each)]
    yield from found
    if not found:
        text = f"{len(projections)}, no problem found"
        yield Finding("projections", Level.OK, text)


def _problems(each: ProjectionStatus) -> Findings:
    name = f"{each.name!r} of {each.application!r}"

    def warning(text: str, remedy: str) -> Finding:
        return Finding("projections", Level.WARNING, f"{name} {text}", remedy)

    seconds = each.lag_seconds or 0.0
    if each.state is ProjectionState.ORPHANED:
        yield warning(
            "is orphaned: its application is not in this database",
            "Nothing, if the application is in another database; otherwise reset it",
        )
    elif each.state is ProjectionState.STOPPED and each.lag:
        text = f"is stopped, with {each.lag:,} events to process"
        yield warning(text, "Start it: eventsourcing-alchemy run")
    elif each.lease is not None and each.lease.is_held and seconds >= FROZEN_AFTER:
        text = (
            f"is frozen: {each.lease.holder} holds the lease, but {each.lag:,} events "
            "wait"
        )
        yield warning(f"{text} for {seconds:.0f} s", "Read the log of that process")
    elif each.state is ProjectionState.BEHIND:
        text = (
            f"is behind by {each.lag:,} events: the first has waited for "
            f"{seconds:.0f} s"
        )
        yield warning(
            text, "Watch whether it catches up: eventsourcing-alchemy status --watch"
        )
    if each.dead_letters:
        text = f"has passed over {each.dead_letters:,} events"
        yield warning(text, f"eventsourcing-alchemy dead-letters list {each.name}")


_CHECKS = (
    _schema,
    _privileges,
    _storage,
    _server,
    _notifications,
    _clock,
    _projections,
)
