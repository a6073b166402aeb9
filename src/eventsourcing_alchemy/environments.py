"""The environments of applications and projections."""

import os
from types import ModuleType
from typing import Any

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    Environment,
    EnvType,
    resolve_topic,
)


def name_in(env: Environment, key: str) -> str:
    """The name of a variable that counts there: with prefix, if that one is set.

    Args:
        env: the environment.
        key: the variable, without prefix.
    """
    return next((name for name in env.create_keys(key) if name in env), key)


def environment_of(configured: type[Any], env: EnvType | None = None) -> Environment:
    """The variables of an application or projection, collected as the library does.

    Args:
        configured: its class. An application's has variables of its own.
        env: variables that win over those of the process.
    """
    own = configured.env if issubclass(configured, Application | DCBApplication) else {}
    return Environment(configured.name, {**own, **os.environ, **(env or {})})


PERSISTENCE_MODULE = "eventsourcing_alchemy"
"""The value of the variable of that name that has the library use this package."""


def check_persistence_module(env: Environment) -> None:
    """Makes sure that the library will use this package.

    Args:
        env: of an application or projection.

    Raises:
        ConfigurationError: if it will not.
    """
    if (problem := persistence_module_problem(env)) is not None:
        raise ConfigurationError(problem)


def persistence_module_problem(env: Environment) -> str | None:
    """Why the library does not use this package, None if it may.

    Args:
        env: of an application or projection.
    """
    topic = str(env.get("PERSISTENCE_MODULE", "")).strip()
    name = name_in(env, "PERSISTENCE_MODULE")
    expected = f"set {name}={PERSISTENCE_MODULE}"
    if not topic:
        return (
            f"{name} is not set, so the library keeps everything in the memory of this "
            f"process: {expected}"
        )
    try:
        found = resolve_topic(topic)
    except Exception as error:  # Modules may do anything when they are imported.
        return f"{name}: {str(error) or type(error).__name__}: {expected}"
    if not _is_ours(found):
        return f"{name} is {topic!r}, which is another persistence module: {expected}"
    return None


def _is_ours(found: object) -> bool:
    """Whether a topic leads to a factory of this package, or to a subclass of it."""
    members = vars(found).values() if isinstance(found, ModuleType) else [found]
    bases = {
        base for each in members if isinstance(each, type) for base in each.__mro__
    }
    # By its name: the factory itself reads settings, and cannot be imported here.
    return any(base.__module__ == f"{PERSISTENCE_MODULE}.factory" for base in bases)
