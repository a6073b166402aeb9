"""Which module can be copied from."""

from collections.abc import Mapping

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.transfer.sources.alchemy import AlchemyModule
from eventsourcing_alchemy.operations.transfer.sources.base import (
    PersistenceModule,
    required,
)
from eventsourcing_alchemy.operations.transfer.sources.postgres import (
    PostgresModule,
    PostgresTTModule,
)
from eventsourcing_alchemy.operations.transfer.sources.sqlalchemy_peer import (
    SQLAlchemyModule,
)
from eventsourcing_alchemy.operations.transfer.sources.sqlite import SQLiteModule

MODULES: Mapping[str, type[PersistenceModule]] = {
    each.name: each
    for each in (
        PostgresModule,
        SQLiteModule,
        SQLAlchemyModule,
        PostgresTTModule,
        AlchemyModule,
    )
}
"""By the value of PERSISTENCE_MODULE."""


def module_of(env: Environment) -> PersistenceModule:
    """The module that an environment names.

    Raises:
        ConfigurationError: if it names none, or one that cannot be copied from.
    """
    name = required(env, "PERSISTENCE_MODULE")
    found = MODULES.get(name)
    if found is None:
        known = ", ".join(MODULES)
        raise ConfigurationError(
            f"PERSISTENCE_MODULE: {name!r} cannot be copied from: expected one of "
            f"{known}. If your module derives from one of them, name that one"
        )
    return found()
