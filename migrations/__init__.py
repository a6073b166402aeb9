"""The Alembic environment of eventsourcing-alchemy."""
