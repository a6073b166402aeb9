"""INSERT or UPDATE, whichever it takes, alone or collected in a batch."""

from eventsourcing_alchemy.deprecated_paths import moved

__getattr__ = moved(__name__, "Upsert", "upsert")
