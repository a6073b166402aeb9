"""Savepoints that SQLAlchemy knows of."""

from sqlalchemy import NestedTransaction


def names_around(savepoint: NestedTransaction | None) -> set[str]:
    """The names of a savepoint, and of those that are open around it.

    Args:
        savepoint: None for none.
    """
    names = set()
    while savepoint is not None:
        # They have no public names; the tests run at both ends of SQLAlchemy's range.
        names.add(savepoint._savepoint)  # noqa: SLF001
        savepoint = savepoint._previous_nested  # noqa: SLF001
    return names
