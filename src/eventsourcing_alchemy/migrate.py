"""An earlier path: see `eventsourcing_alchemy`."""

from eventsourcing_alchemy.deprecated_paths import moved

__getattr__ = moved(
    __name__,
    "declared",
    "include_name",
    "missing_tables",
    "upgrade",
    renamed={"current": "current_revision"},
)
