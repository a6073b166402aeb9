"""Upserts that differ in nothing but values have one statement, compiled once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    Executable,
    SelectBase,
    TextClause,
    bindparam,
)
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.dialects.lookup import dialect_beside
from eventsourcing_alchemy.executors import Compiled

if TYPE_CHECKING:
    from eventsourcing_alchemy.upserts import Upsert

SCHEMAS = "schema_translate_map"
"""The execution option of SQLAlchemy's."""

Schemas = Mapping[str | None, str | None]

_KEPT = "eventsourcing_alchemy_upserts"

MOST_PLANS = 100
"""Plans that are kept for a table."""


class Plan(NamedTuple):
    """The statement of upserts that differ in nothing but values.

    Attributes:
        compiled: the statement.
        names: of its parameters.
        can_wait: whether several are executed at once on this database.
        tracked: the same, executed together with `advance_tracking()`, and only if
            that finds its row, which it returns. None where that is not possible.
    """

    compiled: Compiled
    names: tuple[str, ...]
    can_wait: bool
    tracked: Executable | None

    def execute(
        self, connection: Connection, rows: Sequence[tuple[Any, ...]]
    ) -> CursorResult[Any]:
        """Executes it once for each of these values."""
        parameters: Any = self.compiled.bound_rows(self.names, rows)
        return connection.exec_driver_sql(self.compiled.text, parameters)


class Planned(NamedTuple):
    """A plan, and the values of its parameters."""

    plan: Plan
    values: tuple[Any, ...]

    @property
    def named(self) -> dict[str, Any]:
        """The values by the names of their parameters."""
        return dict(zip(self.plan.names, self.values, strict=True))

    def execute(
        self, connection: Connection, options: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Executes it."""
        compiled = self.plan.compiled
        parameters = compiled.bound(self.named)
        return connection.exec_driver_sql(
            compiled.text, parameters, execution_options=options
        )


class _Plans(dict[Any, Plan | None]):
    """Plans of one table. Copies of the table, also pickled ones, have none."""

    def __reduce__(self) -> tuple[type["_Plans"], tuple[()]]:
        return _Plans, ()


def planned(upsert: "Upsert", dialect: Dialect, schemas: Schemas) -> Planned | None:
    """How to execute an upsert, None where only SQLAlchemy knows.

    Args:
        upsert: to be executed.
        dialect: SQLAlchemy's.
        schemas: the `schema_translate_map`.
    """
    expressions = _Expressions(upsert.set_)
    if not expressions.have_keys or any(map(_is_sql, upsert.values.values())):
        return None
    key = (
        # Copies of a table share their `info`.
        upsert.table,
        dialect,
        *schemas.items(),
        *upsert.values,
        *upsert.index_elements,
        expressions.key,
    )
    plans = upsert.table.info.setdefault(_KEPT, _Plans())
    if key not in plans:
        if len(plans) >= MOST_PLANS:
            plans.clear()
        plans[key] = _plan(upsert, dialect, schemas, expressions)
    plan = plans[key]
    if plan is None:
        return None
    return Planned(plan, (*upsert.values.values(), *expressions.values))


class _Expressions:
    """What is set: values, and expressions that have values in them."""

    def __init__(self, set_: Mapping[str, Any]) -> None:
        key: list[Any] = []
        self.values: list[Any] = []
        self.parameters: dict[str, Sequence[BindParameter[Any]]] = {}
        """By column, the parameters of an expression that the values come from."""
        self.have_keys = True
        for name, value in set_.items():
            if not _is_sql(value):
                key.append(name)
                self.values.append(value)
                continue
            # By what SQLAlchemy itself tells statements apart.
            cache_key = (
                value._generate_cache_key()  # noqa: SLF001
                if isinstance(value, ClauseElement)
                else None
            )
            if cache_key is None or not all(map(_is_value, cache_key.bindparams)):
                self.have_keys = False
                return
            key.append((name, cache_key.key))
            self.parameters[name] = cache_key.bindparams
            self.values += [each.effective_value for each in cache_key.bindparams]
        self.key = tuple(key)


def _is_value(parameter: BindParameter[Any]) -> bool:
    """Whether it stands for a value in an expression, and for nothing else."""
    return parameter.unique and not (parameter.expanding or parameter.literal_execute)


def _is_sql(value: object) -> bool:
    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")


def _is_complete(upsert: "Upsert") -> bool:
    """Whether all it takes to insert the row are the values."""
    columns = upsert.table.columns
    return all(
        # Of Python: those of the database are its own business.
        column.default is None
        and column.onupdate is None
        and (column.key in upsert.values or not column.primary_key)
        for column in columns
    )


def _plan(
    upsert: "Upsert",
    dialect: Dialect,
    schemas: Schemas,
    expressions: _Expressions,
) -> Plan | None:
    # SQLAlchemy itself adds "_none" for None.
    if schemas.keys() - {None, "_none"} or not _is_complete(upsert):
        return None
    columns, names = upsert.table.columns, _Names()
    row = {name: names.parameter(columns[name].type) for name in upsert.values}
    set_ = {
        name: names.replaced(value, expressions.parameters[name])
        if name in expressions.parameters
        else names.parameter(columns[name].type)
        for name, value in upsert.set_.items()
    }
    ours = dialect_beside(dialect)
    parts = upsert.table, row, set_, upsert.index_elements
    statement = ours.upsert_statement(*parts)
    if statement is None:
        return None
    compiled = Compiled(statement, dialect, schemas.get(None))
    tracked = None
    if _is_independent(upsert):
        tracked = ours.tracked_upsert_statement(*parts)
    return Plan(compiled, tuple(names.given), ours.collects_upserts, tracked)


class _Names:
    """Names of parameters, numbered: a column may be called whatever it likes."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def parameter(self, type_: TypeEngine[Any]) -> BindParameter[Any]:
        """Another parameter."""
        self.given.append(f"es_{len(self.given)}")
        return bindparam(self.given[-1], type_=type_)

    def replaced(
        self, expression: ClauseElement, parameters: Sequence[BindParameter[Any]]
    ) -> ClauseElement:
        """The expression with other ones for its parameters."""
        others = {each: self.parameter(each.type) for each in parameters}

        def other(element: Any, **_: Any) -> BindParameter[Any] | None:
            return others.get(element) if isinstance(element, BindParameter) else None

        return cast("ClauseElement", replacement_traverse(expression, {}, other))


def _is_independent(upsert: "Upsert") -> bool:
    """Whether what it sets depends on its own row only, as far as can be told."""
    return all(
        getattr(element, "table", upsert.table) is upsert.table
        and not isinstance(element, SelectBase | TextClause)
        and (not isinstance(element, FunctionElement) or _is_pure(element))
        for value in upsert.set_.values()
        if isinstance(value, ClauseElement)
        for element in iterate(value)
    )


_PURE = {"abs", "coalesce", "concat", "greatest", "least", "length", "lower", "nullif"}
_PURE |= {"now", "replace", "round", "substr", "substring", "trim", "upper"}
"""Functions of the databases that read nothing but their arguments, and the clock."""


def _is_pure(function: FunctionElement[Any]) -> bool:
    # Another one may be the user's, and read a table.
    is_known = getattr(function, "name", "").lower() in _PURE
    return is_known and not getattr(function, "packagenames", ())
