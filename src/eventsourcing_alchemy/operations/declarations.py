"""Projections that are declared in pyproject.toml, or a file like it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    EventSourcedProjection,
    PersistenceError,
    ProgrammingError,
    Projection,
    TopicError,
    TrackingRecorder,
    resolve_topic,
)
from eventsourcing_alchemy.operations.projected_views import view_of
from eventsourcing_alchemy.resilience.backoff import Backoff
from eventsourcing_alchemy.runners.lease import checked_duration
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy

TABLE = "tool.eventsourcing-alchemy.projections"
"""Where projections are declared."""

_TEXTS = {"application", "projection", "view"}
_DURATIONS = {"lease_duration", "frozen_after"}
_OF_RUNNERS = _DURATIONS | {"batch_size"}
_POISON = {"attempts", "dead_letter", "first_pause", "longest_pause"}

T = TypeVar("T")


@dataclass(frozen=True)
class Declaration:
    """A projection, as it is declared.

    Attributes:
        name: under which it is declared.
        file: where.
        topics: of the classes: `application`, `projection`, perhaps `view`.
        poison: for events that cannot be processed.
        options: further arguments of the runner.
    """

    name: str
    file: Path
    topics: Mapping[str, str]
    poison: PoisonPolicy
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def application_class(self) -> type[Any]:
        """The application whose events are processed.

        Raises:
            ConfigurationError: if there is no such class.
        """
        return self._class("application", Application, DCBApplication)

    @property
    def projection_class(self) -> type[Any]:
        """The projection.

        Raises:
            ConfigurationError: if there is no such class.
        """
        return self._class("projection", Projection, EventSourcedProjection)

    @property
    def is_event_sourced(self) -> bool:
        """Whether the projection is an application itself, which needs no view."""
        return issubclass(self.projection_class, EventSourcedProjection)

    @property
    def view_class(self) -> type[Any]:
        """The materialised view: the one declared, or the one of `Projection[…]`.

        Raises:
            ConfigurationError: if there is none.
        """
        if "view" in self.topics:
            return self._class("view", TrackingRecorder)
        found = view_of(self.projection_class)
        if found is None:
            msg = (
                f"{self._at('view')} is missing, and the view does not follow from "
                f"{self.topics['projection']!r}: name its class, 'module:Class'"
            )
            raise ConfigurationError(msg)
        return found

    @property
    def projection_name(self) -> str:
        """The name of the projection in the database."""
        return str(self.projection_class.name)

    @property
    def application_name(self) -> str:
        """The name of the application in the database."""
        return str(self.application_class.name)

    def _at(self, key: str) -> str:
        return f"{self.file}: {TABLE}.{self.name}.{key}"

    def _class(self, key: str, *bases: type[Any]) -> type[Any]:
        topic = self.topics[key]
        try:
            found = resolve_topic(topic)
        except (TopicError, ValueError) as error:  # The latter of an empty one.
            raise ConfigurationError(f"{self._at(key)}: {error}") from error
        if isinstance(found, type) and issubclass(found, bases):
            return found
        expected = " or ".join(base.__name__ for base in bases)
        msg = f"{self._at(key)} is {topic!r}: expected a subclass of {expected}"
        raise ConfigurationError(msg)


def declarations(file: Path) -> dict[str, Declaration]:
    """The projections that a file declares, by name. Imports nothing yet.

    Args:
        file: TOML, with tables `[tool.eventsourcing-alchemy.projections.NAME]`.

    Raises:
        ConfigurationError: names what in the file cannot be used.
    """
    try:
        content: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    for key in TABLE.split("."):
        content = _table(content, file, TABLE).get(key, {})
    content = _table(content, file, TABLE)
    return {name: _declaration(name, each, file) for name, each in content.items()}


def _declaration(name: str, content: Any, file: Path) -> Declaration:
    where = f"{TABLE}.{name}"
    table = _table(content, file, where)
    _refuse_unknown(table, _TEXTS | _OF_RUNNERS | {"poison"}, f"{file}: {where}")
    topics = {key: table[key] for key in sorted(_TEXTS) if key in table}
    for key in ("application", "projection", *topics):
        if not isinstance(topics.get(key), str):
            problem = f"is {topics[key]!r}" if key in topics else "is missing"
            msg = f"{file}: {where}.{key} {problem}: expected a topic, 'module:Class'"
            raise ConfigurationError(msg)
    options = _options(table, f"{file}: {where}")
    poison = _table(table.get("poison", {}), file, f"{where}.poison")
    policy = _policy(poison, f"{file}: {where}.poison")
    return Declaration(name, file, topics, policy, options)


def _options(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for key in sorted(_DURATIONS & content.keys()):
            found[key] = _typed(content, key, 0.0, float)
        if "lease_duration" in found:
            checked_duration("lease_duration", found["lease_duration"])
        if "batch_size" in content:
            found["batch_size"] = size = _typed(content, "batch_size", 1, int)
            if size < 1:
                raise ProgrammingError(f"batch_size is {size}: expected 1 or more")
    except (TypeError, PersistenceError) as error:
        raise ConfigurationError(f"{where}.{error}") from None
    return found


def _policy(content: Mapping[str, Any], where: str) -> PoisonPolicy:
    _refuse_unknown(content, _POISON, where)
    try:
        return PoisonPolicy(
            attempts=_typed(content, "attempts", 1, int),
            backoff=Backoff(
                first=_typed(content, "first_pause", 0.1, float),
                longest=_typed(content, "longest_pause", 10.0, float),
            ),
            dead_letter=_typed(content, "dead_letter", False, bool),
        )
    except (TypeError, PersistenceError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _typed(content: Mapping[str, Any], key: str, default: T, kind: type[T]) -> T:
    value = content.get(key, default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise TypeError(f"{key} is {value!r}: expected {kind.__name__}")
    return value


def _table(content: Any, file: Path, where: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{file}: {where} is {content!r}: expected a table")
    return content


def _refuse_unknown(content: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(content.keys() - known)
    if unknown:
        expected = ", ".join(sorted(known))
        msg = f"{where}.{unknown[0]} is unknown: expected {expected}"
        raise ConfigurationError(msg)
