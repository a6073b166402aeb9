"""Following the events of an application."""

from eventsourcing_alchemy.deprecated_paths import moved

__getattr__ = moved(__name__, "SQLAlchemySubscription")
