"""Upserts: planned once for all values, and collected where a batch is processed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    Uuid,
    bindparam,
    case,
    event,
    exc,
    func,
    insert,
    literal,
    literal_column,
    make_url,
    select,
)

from backends import Capability
from conversations import conversation
from eventsourcing_alchemy import SQLAlchemyFactory, upsert
from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.upserts.buffer import ResultNeededError
from eventsourcing_alchemy.upserts.buffered_connection import buffering
from eventsourcing_alchemy.upserts.plans import planned

ODD = ["a b", "a%b", "a:b", "select", "a(b)", "x.y", "values", "é", "n_", 'q"q', "%s"]

MakeTable = Callable[..., Table]


class OfUpperCase(TypeDecorator[str]):
    impl = String(50)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return value.upper()


@pytest.fixture
def connection(factory: SQLAlchemyFactory) -> Any:
    recorder = factory.tracking_recorder()
    with recorder.datastore.engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def make_table(connection: Connection) -> MakeTable:
    def make_table(*columns: Any, name: str = "things") -> Table:
        metadata = MetaData()
        key = Column("k", Integer, primary_key=True, autoincrement=False)
        table = Table(name, metadata, key, *columns)
        metadata.create_all(connection)
        return table

    return make_table


@pytest.fixture
def numbers(make_table: MakeTable) -> Table:
    return make_table(Column("n", Integer))


def rows(connection: Connection, table: Table) -> list[tuple[Any, ...]]:
    statement = select(table).order_by(table.c.k)
    return [tuple(row) for row in connection.execute(statement)]


def add(table: Table, key: int, number: int) -> Any:
    return upsert(table, {"k": key, "n": number}, set_={"n": table.c.n + number})


@pytest.mark.needs(Capability.OWN_CURSOR)
def test_one_plan_for_all_values(connection: Connection, numbers: Table) -> None:
    plans = {
        id(p.plan)
        for n in (1, 2)
        if (p := planned(add(numbers, n, n), connection.dialect, {}))
    }
    assert len(plans) == 1
    other = upsert(numbers, {"k": 1, "n": 1}, set_={"n": numbers.c.n - 1})
    planned_other = planned(other, connection.dialect, {})
    assert planned_other is not None
    assert id(planned_other.plan) not in plans


@pytest.mark.parametrize("is_collected", [False, True])
def test_any_names(
    connection: Connection, make_table: MakeTable, is_collected: bool
) -> None:
    table = make_table(*[Column(name, Integer) for name in ODD])
    values = [{"k": k, **{name: k + n for n, name in enumerate(ODD)}} for k in (1, 2)]
    more = {name: table.c[name] + 7 for name in ODD}
    with buffering(connection):
        for row in values:
            connection.execute(upsert(table, row))
            if not is_collected:
                rows(connection, table)
        for row in values:
            connection.execute(upsert(table, row, set_=more))
    expected = [(k, *(k + n + 7 for n in range(len(ODD)))) for k in (1, 2)]
    assert rows(connection, table) == expected


def test_columns_with_other_keys(connection: Connection, make_table: MakeTable) -> None:
    table = make_table(Column("the n", Integer, key="n"))
    for _ in range(3):
        connection.execute(add(table, 1, 2))
    assert rows(connection, table) == [(1, 6)]


def test_what_only_sqlalchemy_knows(connection: Connection, numbers: Table) -> None:
    """Parameters with names, lists, defaults of columns."""
    named = {"n": numbers.c.n + bindparam("es_1", 5)}
    for _ in range(2):
        connection.execute(upsert(numbers, {"k": 1, "n": 1}, set_=named))
    assert rows(connection, numbers) == [(1, 6)]
    for known in ([1, 2], [1, 2, 6]):
        is_known = case((numbers.c.n.in_(known), 100), else_=0)
        connection.execute(upsert(numbers, {"k": 1, "n": 1}, set_={"n": is_known}))
    assert rows(connection, numbers) == [(1, 0)]
    with pytest.raises(exc.StatementError):
        connection.execute(
            upsert(numbers, {"k": 1, "n": 1}, set_={"n": bindparam("missing")})
        )


def declared(table: Table) -> Any:
    by: Any = bindparam("by", 1)
    return upsert(
        table, {"k": bindparam("key"), "n": by}, set_={"n": table.c.n * 10 + by}
    )


@pytest.mark.parametrize("is_collected", [False, True])
@pytest.mark.parametrize("is_heard", [False, True])
def test_declared_once(
    connection: Connection, numbers: Table, is_collected: bool, is_heard: bool
) -> None:
    """With parameters, as SQLAlchemy's own; also where only that can execute it."""
    statement = declared(numbers)
    if is_heard:
        event.listen(connection, "before_execute", lambda *_: None)
    with buffering(connection) if is_collected else nullcontext():
        for parameters in (
            {"key": 1, "by": 2},
            {"key": 1},
            [{"key": 1, "by": 3}, {"key": 2, "by": 4}],
            [{"key": 2, "by": 5}],
        ):
            connection.execute(statement, parameters)
        connection.execute(add(numbers, 1, 1000))
    assert rows(connection, numbers) == [(1, 1213), (2, 45)]


def test_declared_with_a_list(connection: Connection, numbers: Table) -> None:
    is_known = numbers.c.n.in_(bindparam("known", expanding=True))
    more = case((is_known, numbers.c.n + 1), else_=0)
    statement = upsert(numbers, {"k": bindparam("k"), "n": 1}, set_={"n": more})
    for known in ([], [1, 2], [2, 3], [2, 3]):
        connection.execute(statement, {"k": 1, "known": known})
    assert rows(connection, numbers) == [(1, 4)]


@pytest.mark.parametrize("name", [None, "n"])
def test_declared_with_a_function(
    connection: Connection, numbers: Table, name: str | None
) -> None:
    """It is called for each execution."""
    called = count()
    n: Any = bindparam(name, callable_=lambda: next(called), unique=name is None)
    statement = upsert(numbers, {"k": bindparam("k"), "n": n}, set_={"n": 0})
    for k in range(3):
        connection.execute(statement, {"k": k})
    assert rows(connection, numbers) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.needs(Capability.OWN_CURSOR)
def test_declared_one_is_planned_once(connection: Connection, numbers: Table) -> None:
    statement = declared(numbers)
    found = [statement.planned(connection.dialect, {}) for _ in range(2)]
    assert found[0] is not None
    assert found[0] is found[1]
    assert statement.parameters == {"key", "by"}


def test_types_of_parameters(connection: Connection, make_table: MakeTable) -> None:
    """That of the column, or the parameter's own."""
    table = make_table(
        Column("data", JSON), Column("id", Uuid), Column("s", String(50))
    )
    names: dict[str, Any] = {name: bindparam(name) for name in ("k", "data", "id")}
    text = bindparam("text", type_=OfUpperCase)
    statement = upsert(table, {**names, "s": text}, set_={"s": table.c.s + text})
    row = {"k": 1, "data": {"n": [1]}, "id": UUID(int=1), "text": "a"}
    with buffering(connection):
        connection.execute(statement, row)
        connection.execute(statement, row)
    assert rows(connection, table) == [(1, {"n": [1]}, UUID(int=1), "AA")]
    key = upsert(table, {"k": bindparam("s"), "s": "b"}, set_={"s": bindparam("id")})
    connection.execute(key, {"s": 2, "id": "c"})
    connection.execute(key, {"s": 2, "id": "c"})
    assert rows(connection, table)[1] == (2, None, None, "c")


def test_parameters_that_do_not_fit(connection: Connection, numbers: Table) -> None:
    statement = declared(numbers)
    with pytest.raises(exc.StatementError, match="'key'"):
        connection.execute(statement)
    with pytest.raises(exc.StatementError, match="'key'"):
        connection.execute(statement, [{"key": 1}, {"by": 1}])
    with pytest.raises(ValueError, match=r"'things'.*\['n'\].*\['by', 'key'\]"):
        connection.execute(statement, {"key": 1, "n": 1})
    with pytest.raises(ValueError, match="has its values already"):
        connection.execute(add(numbers, 1, 1), {"k": 1})
    assert rows(connection, numbers) == []


def test_result_of_several_sets_that_wait(
    connection: Connection, numbers: Table
) -> None:
    statement = declared(numbers)
    with buffering(connection):
        connection.execute(statement, {"key": 1})
        result = connection.execute(statement, [{"key": 1}, {"key": 2}])
        assert result.rowcount > 0
        assert not result.returns_rows
        connection.execute(statement, {"key": 2})
    assert rows(connection, numbers) == [(1, 11), (2, 11)]


def test_values_that_are_expressions(
    connection: Connection, make_table: MakeTable
) -> None:
    table = make_table(Column("n", Integer), Column("m", Integer))
    values = {"k": 1, "n": 0, "m": 0}
    for n, m in ((1, 2), (3, 4)):
        connection.execute(upsert(table, values, set_={"n": literal(n), "m": m}))
    assert rows(connection, table) == [(1, 3, 4)]
    twice = table.c.n + bindparam(None, 5, unique=True)
    connection.execute(upsert(table, values, set_={"m": m, "n": twice + twice}))
    assert rows(connection, table) == [(1, 16, 4)]


def test_expressions_that_look_alike(connection: Connection, numbers: Table) -> None:
    n: Any = numbers.c.n
    same: Any = bindparam(None, 5, unique=True)
    connection.execute(insert(numbers).values(k=1, n=1))
    for expression, expected in (
        (n + literal(2) - literal(1), 2),
        (n + literal(3) - literal(1), 4),
        (n + same - same, 4),
        (n + literal(3) - literal(2), 5),
        (n - literal(3) + literal(2), 4),
        (literal(9) - n, 5),
        (n - literal(9), -4),
        (numbers.c.k + literal(1), 2),
        (n * literal(3), 6),
        (n % literal(4), 2),
    ):
        connection.execute(upsert(numbers, {"k": 1, "n": 0}, set_={"n": expression}))
        assert rows(connection, numbers) == [(1, expected)], str(expression)


def test_defaults_of_columns(connection: Connection, make_table: MakeTable) -> None:
    table = make_table(
        Column("n", Integer), Column("s", String(9), default="new", onupdate="again")
    )
    connection.execute(add(table, 1, 1))
    assert rows(connection, table) == [(1, 1, "new")]


def test_copy_of_a_table(connection: Connection, numbers: Table) -> None:
    connection.execute(add(numbers, 1, 1))
    copy = numbers.to_metadata(MetaData(), name="others")
    copy.create(connection)
    connection.execute(add(copy, 2, 2))
    assert (rows(connection, numbers), rows(connection, copy)) == ([(1, 1)], [(2, 2)])


def test_are_collected_until_something_else(
    connection: Connection, numbers: Table
) -> None:
    with buffering(connection):
        for number in (1, 2, 3):
            connection.execute(add(numbers, 1, number))
            connection.execute(add(numbers, 2, 10 * number))
        assert rows(connection, numbers) == [(1, 6), (2, 60)]
        connection.execute(add(numbers, 1, 1))
        connection.execute(numbers.update().values(n=2 * numbers.c.n))
        connection.execute(add(numbers, 1, 1))
        with connection.begin_nested() as savepoint:
            connection.execute(add(numbers, 1, 1000))
            savepoint.rollback()
        connection.execute(add(numbers, 2, 1))
    assert rows(connection, numbers) == [(1, 15), (2, 121)]


def test_of_several_forms_keep_their_order(
    connection: Connection, numbers: Table
) -> None:
    with buffering(connection):
        for _ in range(3):
            connection.execute(add(numbers, 1, 1))
            twice = {"n": numbers.c.n * 2}
            connection.execute(upsert(numbers, {"k": 1, "n": 0}, set_=twice))
            connection.execute(upsert(numbers, {"k": 2, "n": None}))
    assert rows(connection, numbers) == [(1, ((1 * 2 + 1) * 2 + 1) * 2), (2, None)]


def test_foreign_keys_keep_the_order_of_tables(
    connection: Connection, numbers: Table
) -> None:
    children = Table(
        "children",
        numbers.metadata,
        Column("k", Integer, primary_key=True, autoincrement=False),
        Column("parent", ForeignKey(numbers.c.k)),
    )
    children.create(connection)
    connection.execute(add(numbers, 0, 0))
    with buffering(connection):
        connection.execute(upsert(children, {"k": 1, "parent": 0}))
        connection.execute(add(numbers, 1, 0))
        connection.execute(upsert(children, {"k": 2, "parent": 1}))
    assert rows(connection, children) == [(1, 0), (2, 1)]


def test_two_names_of_a_table_keep_their_order(
    connection: Connection, numbers: Table
) -> None:
    """As do all: a trigger, or a function, may see what another one has written."""
    same = numbers.to_metadata(MetaData())
    with buffering(connection):
        for table, number in ((numbers, 1), (same, 2), (numbers, 3), (same, 4)):
            connection.execute(upsert(table, {"k": 1, "n": number}))
            connection.execute(upsert(table, {"k": 2, "n": number}))
    assert rows(connection, numbers) == [(1, 4), (2, 4)]


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_what_may_read_other_tables_is_not_tracked_together(
    connection: Connection, numbers: Table
) -> None:
    n = numbers.c.n
    count = select(func.count()).select_from(numbers.alias()).scalar_subquery()
    own = [n + 1, func.coalesce(n, 0), case((n > 1, 2), else_=n), literal(3)]
    others = [func.rate(n), func.mine.coalesce(n), count, literal_column("f()")]
    for values, is_tracked in ((own, True), (others, False)):
        for value in values:
            statement = upsert(numbers, {"k": 1, "n": 0}, set_={"n": value})
            plan = planned(statement, connection.dialect, {})
            assert plan is not None
            assert (plan.plan.tracked is not None) == is_tracked, str(value)


def test_commit_finds_them_executed(connection: Connection, numbers: Table) -> None:
    connection.commit()
    with buffering(connection):
        connection.execute(add(numbers, 1, 1))
        connection.commit()
        connection.rollback()
        assert rows(connection, numbers) == [(1, 1)]


def test_tables_can_be_pickled(connection: Connection, numbers: Table) -> None:
    connection.execute(add(numbers, 1, 1))
    copies = pickle.loads(pickle.dumps(numbers.metadata))  # noqa: S301
    assert numbers.name in copies.tables


def test_listeners_to_statements_of_core(
    connection: Connection, numbers: Table
) -> None:
    heard: list[Any] = []

    def hear(*arguments: Any) -> None:
        heard.append(arguments[1])

    event.listen(connection, "before_execute", hear)
    connection.execute(add(numbers, 1, 1))
    event.remove(connection, "before_execute", hear)
    assert any(isinstance(each, Insert) for each in heard)


def test_what_another_table_knows_does_not_wait(
    connection: Connection, numbers: Table
) -> None:
    log = numbers.to_metadata(MetaData(), name="log")
    log.create(connection)
    count = select(func.count()).select_from(numbers).scalar_subquery()
    with buffering(connection):
        for key in (1, 2, 3):
            connection.execute(add(numbers, key, 0))
            connection.execute(upsert(log, {"k": 1, "n": 0}, set_={"n": count}))
    assert rows(connection, log) == [(1, 3)]


def test_values_that_change_afterwards(
    connection: Connection, make_table: MakeTable
) -> None:
    table = make_table(
        Column("data", JSON), Column("id", Uuid), Column("state", LargeBinary)
    )
    data = {"n": 0}
    state = bytearray(b"0")
    with buffering(connection):
        for key in (1, 2, 3):
            data["n"] = key
            state[:] = b"%d" % key
            values = {"k": key, "data": data, "id": UUID(int=key)}
            connection.execute(upsert(table, {**values, "state": memoryview(state)}))
    expected = [(key, {"n": key}, UUID(int=key), b"%d" % key) for key in (1, 2, 3)]
    assert rows(connection, table) == expected


def test_error_that_the_user_catches_is_not_lost(
    connection: Connection, make_table: MakeTable, numbers: Table
) -> None:
    few = make_table(Column("n", Integer, CheckConstraint("n < 5")), name="few")
    with pytest.raises(exc.DBAPIError), buffering(connection):  # noqa: PT012
        try:
            connection.execute(upsert(few, {"k": 1, "n": 9}))
            connection.execute(insert(numbers).values(k=1))
        except exc.DBAPIError:
            if not dialect_of(connection).collects_upserts:
                raise


def test_result_of_one_that_waits(connection: Connection, numbers: Table) -> None:
    with buffering(connection):
        for key in (1, 2):
            connection.execute(add(numbers, 0, 1))
            result = connection.execute(add(numbers, key, 1))
            assert result.rowcount == 1
            assert not result.returns_rows
    assert rows(connection, numbers) == [(0, 2), (1, 1), (2, 1)]


def test_number_of_rows_is_that_of_one_by_one(
    connection: Connection, numbers: Table
) -> None:
    def counts(key: int) -> list[int]:
        return [connection.execute(add(numbers, key, 1)).rowcount for _ in range(2)]

    with buffering(connection):
        collected = counts(1)
    assert collected == counts(2)


def merges(connection: Connection, statement: Any) -> bool:
    found = planned(statement, connection.dialect, {})
    return found is not None and found.plan.merge is not None


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
def test_rows_with_the_same_update_share_a_statement(
    connection: Connection, numbers: Table
) -> None:
    """In their order, and no more than 100."""
    by = [1] * 150 + [2, 2, 1]
    with conversation(connection.engine) as said, buffering(connection):
        for key, number in enumerate(by):
            connection.execute(add(numbers, key % 100, number))
    count = 4 if merges(connection, add(numbers, 1, 1)) else 1
    assert len([each for each in said if "INTO things" in each]) == count
    expected = [sum(by[key::100]) for key in range(100)]
    assert rows(connection, numbers) == [*enumerate(expected)]


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
def test_large_rows_have_statements_of_their_own(
    connection: Connection, make_table: MakeTable
) -> None:
    table = make_table(Column("state", LargeBinary(100_000)), Column("n", Integer))
    with conversation(connection.engine) as said, buffering(connection):
        for key in range(3):
            row = {"k": key, "state": b"%d" % key * 50_000, "n": 0}
            statement = upsert(table, row, set_={"n": table.c.n + 1})
            connection.execute(statement)
    count = 3 if merges(connection, statement) else 1
    assert len([each for each in said if "INTO things" in each]) == count
    assert [len(state) for _, state, _ in rows(connection, table)] == [50_000] * 3


def test_result_of_one_that_others_have_followed(
    connection: Connection, numbers: Table
) -> None:
    if not dialect_of(connection).collects_upserts:
        return
    if merges(connection, add(numbers, 1, 1)):
        with buffering(connection):
            result = connection.execute(add(numbers, 1, 1))
            connection.execute(add(numbers, 2, 1))
            assert result.rowcount == 1
        assert rows(connection, numbers) == [(1, 1), (2, 1)]
        return
    with pytest.raises(ResultNeededError), buffering(connection):  # noqa: PT012
        result = connection.execute(add(numbers, 1, 1))
        connection.execute(add(numbers, 2, 1))
        assert result.rowcount == 1
        with pytest.raises(ResultNeededError):
            _ = result.lastrowid


@pytest.mark.parametrize("name", ["postgresql", "sqlite", "mysql", "oracle"])
def test_is_shown_without_values(name: str) -> None:
    table = Table("t", MetaData(), Column("k", Integer, primary_key=True))
    statement = upsert(table, {"k": 4711})
    shown = str(statement.compile(dialect=make_url(f"{name}://").get_dialect()()))
    for each in str(statement), shown:
        assert each.startswith("INSERT INTO t")
        assert "4711" not in each
