"""Where to copy to, opened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.factory import SQLAlchemyFactory
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.transfer.layouts import Layout
from eventsourcing_alchemy.operations.transfer.target import Target
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.settings import Settings, Variables
from eventsourcing_alchemy.statements.applications import application

OURS = "eventsourcing_alchemy"


@contextmanager
def opened_target(
    variables: Mapping[str, str], name: str, layout: Layout, *, tells_time: bool
) -> Iterator[Target]:
    """Where to copy to, with its tables, and with the application registered.

    Args:
        variables: the settings, as the library's environment variables.
        name: of the application.
        layout: of the events.
        tells_time: whether they have a time of recording.

    Raises:
        ConfigurationError: if the settings cannot be used.
    """
    env = Environment(name, variables)
    _check_module(env)
    factory = SQLAlchemyFactory(env)
    try:
        _refuse_memory(factory.datastore)
        _check_id_type(factory, layout)
        if layout.id_type is None:
            factory.dcb_recorder()
        else:
            factory.application_recorder()
        yield Target(factory.datastore, layout, name, tells_time=tells_time)
    finally:
        factory.close()


@contextmanager
def existing_target(
    variables: Mapping[str, str], name: str, layout: Layout, *, tells_time: bool
) -> Iterator[Target]:
    """As `opened_target()`, to look at: nothing is created.

    Raises:
        ConfigurationError: if the settings cannot be used.
        UnknownNameError: if there is no such application.
    """
    env = Environment(name, variables)
    _check_module(env)
    datastore = SQLAlchemyDatastore(Settings.from_env(env))
    try:
        missing = datastore.dialect.missing_file(datastore.engine.url)
        if missing is not None:
            msg = f"SQLALCHEMY_URL: there is no database {str(missing)!r}"
            raise ConfigurationError(msg)
        if not rows(datastore, application(), application=name):
            raise UnknownNameError(f"The target has no application {name!r}")
        yield Target(datastore, layout, name, tells_time=tells_time)
    finally:
        datastore.close()


def _refuse_memory(datastore: SQLAlchemyDatastore) -> None:
    if datastore.dialect.is_private(datastore.engine.url):
        raise ConfigurationError(
            "SQLALCHEMY_URL: the target is in memory, and would vanish with this "
            "process: name a file or a server"
        )


def _check_module(env: Environment) -> None:
    variables = Variables(env)
    module = variables.text("PERSISTENCE_MODULE")
    if module not in (None, OURS):
        raise ConfigurationError(
            f"PERSISTENCE_MODULE: {module!r} cannot be copied to: expected {OURS} in "
            f"the settings of the target"
        )
    if variables.text("SQLALCHEMY_SCOPED_SESSION_TOPIC") is not None:
        raise ConfigurationError(
            "SQLALCHEMY_SCOPED_SESSION_TOPIC: a session commits when its request ends: "
            "set SQLALCHEMY_URL in the settings of the target instead"
        )


def _check_id_type(factory: SQLAlchemyFactory, layout: Layout) -> None:
    id_type = factory.datastore.settings.originator_id_type
    if layout.id_type not in (None, id_type):
        raise ConfigurationError(
            f"ORIGINATOR_ID_TYPE: the source has IDs of type {layout.id_type}, but the "
            f"target is set to {id_type}: set it to {layout.id_type}"
        )
