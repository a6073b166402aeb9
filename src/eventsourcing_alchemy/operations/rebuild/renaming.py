"""An engine for which the tables of a view have other names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Connection, Engine, TableClause, TextClause
from sqlalchemy.sql.selectable import TextualSelect

from eventsourcing_alchemy.database.sole_writer import BesideViewError
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.operations.rebuild.other_names import OtherNames
from eventsourcing_alchemy.operations.rebuild.table_uses import TableUses
from eventsourcing_alchemy.operations.rebuild.written_tables import (
    TextWrites,
    written_tables,
)
from eventsourcing_alchemy.schema.tables import metadata

_SWITCHES = "eventsourcing_alchemy_switches"
"""Option of a connection on which the tables in use are replaced."""


class _Renaming:
    """What the parts of a dialect have in common that use other names."""

    names: OtherNames


class _Preparer(_Renaming):
    """Formats the names of tables, and of what belongs to them."""

    def format_table(
        self, table: Any, use_schema: bool = True, name: str | None = None
    ) -> str:
        """By the other name, unless one is given."""
        if name is None and isinstance(table, TableClause) and self._is_ours(table):
            name = self.names.new(table.name)
        return cast("str", self._default.format_table(table, use_schema, name))

    def format_constraint(
        self, constraint: Any, _alembic_quote: bool = True
    ) -> str | None:
        """By the other name, where another table must not have the same."""
        default = self._default
        if not self.names.is_shared(constraint):
            return cast("str | None", default.format_constraint(constraint))
        name = default.format_constraint(constraint, _alembic_quote=False)
        return None if name is None else self._quote(self.names.new(name))

    def format_sequence(self, sequence: Any, use_schema: bool = True) -> str:
        """By the other name."""
        formatted: str = self._default.format_sequence(sequence, use_schema)
        if sequence.name not in self.names.sequences:
            return formatted
        end = self._quote(sequence.name)
        return formatted.removesuffix(end) + self._quote(self.names.new(sequence.name))

    def _is_ours(self, table: TableClause) -> bool:
        return self.names.has_table(table)

    def _quote(self, name: str) -> str:
        quoted: str = cast("Any", self).quote(name)
        return quoted

    @property
    def _default(self) -> Any:
        return super()


class _StatementCompiler(_Renaming):
    """Compiles tables, and their columns, by the other names.

    It compiles nothing that writes to other tables than those of the view and ours.
    """

    preparer: Any

    def visit_insert(self, statement: Any, *arguments: Any, **options: Any) -> str:
        """An INSERT into a table of the view, or ours."""
        self._refuse_others(statement)
        return str(self._default.visit_insert(statement, *arguments, **options))

    def visit_update(self, statement: Any, *arguments: Any, **options: Any) -> str:
        """An UPDATE, as `visit_insert()`."""
        self._refuse_others(statement)
        return str(self._default.visit_update(statement, *arguments, **options))

    def visit_delete(self, statement: Any, *arguments: Any, **options: Any) -> str:
        """A DELETE, as `visit_insert()`."""
        self._refuse_others(statement)
        return str(self._default.visit_delete(statement, *arguments, **options))

    def _refuse_others(self, statement: Any) -> None:
        for table in written_tables(statement):
            if not (
                self.names.has_table(table)
                or getattr(table, "metadata", None) is metadata
                or _is_temporary(table)
            ):
                what = f"the table {table.name!r}, which is not in its metadata"
                raise _writes_to(what)

    def visit_table(self, table: Any, **options: Any) -> str:
        """The other name where the table's own is to be."""
        text: str = self._default.visit_table(table, **options)
        if not text or not self.names.has_table(table):
            return text
        use_schema = options.get("use_schema", True)
        own = self.preparer.format_table(table, use_schema, table.name)
        return str(self.preparer.format_table(table, use_schema)) + text[len(own) :]

    def visit_column(
        self, column: Any, *, include_table: bool = True, **options: Any
    ) -> str:
        """The other name before the column's."""
        table = column.table
        is_ours = isinstance(table, TableClause) and self.names.has_table(table)
        ambiguous = options.get("ambiguous_table_name_map") or {}
        if not include_table or not is_ours or table.name in ambiguous:
            text: str = self._default.visit_column(
                column, include_table=include_table, **options
            )
            return text
        name: str = self._default.visit_column(column, include_table=False, **options)
        return f"{self.preparer.format_table(table)}.{name}"

    @property
    def _default(self) -> Any:
        return super()


class _Dialect(_Renaming):
    """Looks for tables by the other names, and lets no SQL use their own."""

    stored_name: Any
    preparer: Any
    identifier_preparer: Any
    statement_compiler: Any

    def has_table(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Whether there is a table, by its other name if it is one of the view."""
        stored = self.names.stored(table_name)
        found: bool = self._default.has_table(connection, stored, schema, **kw)
        return found

    def has_multi_table(
        self,
        connection: Any,
        table_names: Sequence[str],
        schema: str | None = None,
        **kw: Any,
    ) -> Iterator[tuple[tuple[str | None, str], bool]]:
        """The same of several (asked by SQLAlchemy 2.1)."""
        for name in table_names:
            yield (schema, name), self.has_table(connection, name, schema, **kw)

    def has_sequence(
        self, connection: Any, sequence_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        """Whether there is a sequence, by its other name if it is one of the view."""
        if sequence_name in self.names.sequences:
            sequence_name = self.names.new(sequence_name)
        found: bool = self._default.has_sequence(
            connection, sequence_name, schema, **kw
        )
        return found

    def do_execute(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        """Executes a statement, if it leaves the tables that are in use alone."""
        self._refuse(statement, context)
        self._default.do_execute(cursor, statement, parameters, context)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        """As `do_execute()`."""
        self._refuse(statement, context)
        self._default.do_executemany(cursor, statement, parameters, context)

    def do_execute_no_params(
        self, cursor: Any, statement: str, context: Any = None
    ) -> None:
        """As `do_execute()`."""
        self._refuse(statement, context)
        self._default.do_execute_no_params(cursor, statement, context)

    _uses: TableUses
    _writes: TextWrites

    def _refuse(self, statement: str, context: Any) -> None:
        if context is not None and context.execution_options.get(_SWITCHES):
            return
        name = self._uses.first(statement)
        if name is not None:
            msg = (
                f"Text SQL of the view contains the table name {name!r}, so a rebuild "
                "would use the table in use: put self.table_name(table) into the "
                "text instead"
            )
            raise ProgrammingError(msg)
        is_text = context is not None and _is_text(context)
        if is_text and self._writes.are_elsewhere(statement):
            raise _writes_to("a table by SQL as text that names none of the view")

    @property
    def _default(self) -> Any:
        return super()


def _is_text(context: Any) -> bool:
    """Whether a statement is text of the user's, and SQLAlchemy knows nothing of it."""
    compiled = getattr(context, "compiled", None)
    return compiled is None or isinstance(
        compiled.statement, TextClause | TextualSelect
    )


def _is_temporary(table: Any) -> bool:
    prefixes = getattr(table, "_prefixes", ())
    return any(str(each).upper().startswith("TEMP") for each in prefixes)


def _writes_to(what: str) -> BesideViewError:
    return BesideViewError(
        f"The view writes to {what}, and a rebuild would have it do that once more: "
        "declare the table in the metadata of the view, and name it by "
        "self.table_name(table) in text; or write to it in a projection of its own, "
        "which is not rebuilt"
    )


def renamed(engine: Engine, names: OtherNames) -> Engine:
    """The same engine, with its pool and listeners, that uses other names.

    It has a dialect of its own, by which everything is cached that is compiled.

    Args:
        engine: has been connected, so that its dialect knows the server.
        names: of the tables.
    """
    other: Any = engine.execution_options()
    dialect = _copied(engine.dialect, _Dialect, names)
    # Listeners of its own, beside those of the original, which others are using.
    vars(dialect).pop("dispatch", None)
    dialect.dispatch._update(engine.dialect.dispatch, only_propagate=False)  # noqa: SLF001
    dialect._uses = TableUses(  # noqa: SLF001
        names.names,
        dialect.identifier_preparer.initial_quote,
        has_escapes=getattr(dialect, "_backslash_escapes", False),
    )
    dialect._writes = TextWrites(  # noqa: SLF001
        [*map(names.new, names.names), *metadata.tables],
        dialect._uses.tokenizer,  # noqa: SLF001
    )
    dialect.stored_name = names.stored
    dialect.statement_compiler = _derived(
        _StatementCompiler, dialect.statement_compiler, names
    )
    preparer = _copied(dialect.identifier_preparer, _Preparer, names)
    preparer.dialect = dialect
    dialect.identifier_preparer = preparer
    other.dialect = dialect
    return cast("Engine", other)


@contextmanager
def naming_tables_in_use(connection: Connection) -> Iterator[None]:
    """Lets SQL use the tables that are in use by their names.

    Args:
        connection: of such an engine.
    """
    connection.execution_options(**{_SWITCHES: True})
    try:
        yield
    finally:
        connection.execution_options(**{_SWITCHES: False})


def _copied(original: Any, mixin: type, names: OtherNames) -> Any:
    copied: Any = object.__new__(_derived(mixin, type(original), names))
    vars(copied).update(vars(original))
    return copied


def _derived(mixin: type, base: type, names: OtherNames) -> type:
    # SQLAlchemy looks for the second one in each class.
    members = {"names": names, "supports_statement_cache": True}
    return type(f"Renaming{base.__name__}", (mixin, base), members)
