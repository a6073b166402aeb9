"""Factories, constructed as the host constructs them: from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

if TYPE_CHECKING:
    from eventsourcing_alchemy import SQLAlchemyFactory


class OpenFactory(Protocol):
    """Constructs the factory of the named application or projection."""

    def __call__(
        self, name: str = "Application", /, **variables: str
    ) -> SQLAlchemyFactory: ...


def construct_factory(name: str, env: Mapping[str, str]) -> SQLAlchemyFactory:
    """The factory of the named application or projection."""
    factory = InfrastructureFactory.construct(Environment(name, env))
    return cast("SQLAlchemyFactory", factory)
