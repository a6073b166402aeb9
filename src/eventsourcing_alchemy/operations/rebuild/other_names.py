"""Other names for tables and what belongs to them, of the length that fits."""

from hashlib import blake2b
from typing import Any

from sqlalchemy import Dialect, MetaData

from eventsourcing_alchemy.dialects.lookup import dialect_beside

NEW = "__new"
OLD = "__old"


def other_name(name: str, suffix: str, longest: int) -> str:
    """The name with a suffix, shortened where it would be too long.

    Args:
        name: of a table, an index or a constraint.
        suffix: what to add.
        longest: bytes that a name may have.
    """
    if len((name + suffix).encode()) <= longest:
        return name + suffix
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    room = longest - len(suffix) - len(digest) - 1
    return f"{name.encode()[:room].decode(errors='ignore')}_{digest}{suffix}"


class OtherNames:
    """Under which names the tables of a view are built.

    Args:
        metadata: of the view.
        dialect: SQLAlchemy's.
    """

    def __init__(self, metadata: MetaData, dialect: Dialect) -> None:
        self._longest = min(dialect.max_identifier_length, 63)
        self._shared_names = dialect_beside(dialect).shared_names
        self.tables = {(each.schema, each.name) for each in metadata.tables.values()}
        self.names = {each.name for each in metadata.tables.values()}
        sequences: Any = getattr(metadata, "_sequences", {})
        self.sequences = {
            each.name: each.schema
            for each in sequences.values()
            if each.__visit_name__ in self._shared_names
        }

    def new(self, name: str) -> str:
        """The name while it is built."""
        return other_name(name, NEW, self._longest)

    def stored(self, name: str) -> str:
        """The name of any table while it is built: those of others keep theirs."""
        return self.new(name) if name in self.names else name

    def old(self, name: str) -> str:
        """The name after it was replaced."""
        return other_name(name, OLD, self._longest)

    def has_table(self, table: Any) -> bool:
        """Whether a table, or what stands for one, is one of them."""
        return (getattr(table, "schema", None), table.name) in self.tables

    def is_shared(self, item: Any) -> bool:
        """Whether no other table may have an index, or constraint, of that name."""
        table = item.table
        return (
            table is not None
            and self.has_table(table)
            and item.__visit_name__ in self._shared_names
        )
