"""What is told of errors: short, and without passwords or the states of events."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.utils import Environment
from sqlalchemy import literal, select, text
from sqlalchemy.exc import SQLAlchemyError, StatementError

from eventsourcing_alchemy import Settings, SQLAlchemyDatastore, SQLAlchemyFactory
from eventsourcing_alchemy.runners.failure_texts import (
    LONGEST_TRACEBACK,
    FailureTexts,
)

PASSWORD = "s3cr3t/of 'ours'"  # noqa: S105
QUOTED = quote(PASSWORD, safe="")


def caught(function: Any, *arguments: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(*arguments)
    return caught.value


def fail(message: str) -> None:
    raise ValueError(message)


def fail_because(message: str) -> None:
    try:
        fail("the cause")
    except ValueError as error:
        raise RuntimeError(message) from error


def fail_at_depth(depth: int) -> None:
    if depth:
        fail_at_depth(depth - 1)
    fail("deep")


@pytest.fixture
def texts(factory: SQLAlchemyFactory) -> FailureTexts:
    return FailureTexts(factory.datastore)


def test_names_the_place_and_the_cause(texts: FailureTexts) -> None:
    told = texts.traceback(caught(fail_because, "the effect"))
    assert told.index("ValueError: the cause") < told.index("RuntimeError: the effect")
    assert "in fail_because" in told
    assert os.path.basename(__file__) in told  # noqa: PTH119


@pytest.mark.parametrize("error", [ValueError("x" * 10**6), ValueError("y\n" * 10**5)])
def test_is_short(texts: FailureTexts, error: Exception) -> None:
    told = texts.traceback(error)
    assert len(told) <= LONGEST_TRACEBACK
    assert "left out" in told
    assert len(texts.traceback(caught(fail_at_depth, 500))) < LONGEST_TRACEBACK


def test_is_storable(texts: FailureTexts) -> None:
    told = texts.traceback(caught(fail, "a\0b \ud83d 🙂"))
    assert told.endswith("a\\x00b \\ud83d 🙂\n")


def test_of_an_error_that_is_its_own_context(texts: FailureTexts) -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert "ValueError: one" in texts.traceback(one)


def test_of_a_group(texts: FailureTexts) -> None:
    told = texts.traceback(ExceptionGroup("both", [ValueError("a"), KeyError("b")]))
    assert "ValueError: a" in told
    assert "KeyError: 'b'" in told


def test_has_no_states_of_events(factory: SQLAlchemyFactory) -> None:
    """Also where the driver does not translate errors, and shows parameters."""
    texts = FailureTexts(factory.datastore)
    recorder = factory.application_recorder()
    event = StoredEvent(uuid4(), 1, "topic", b"hidden-state")
    recorder.insert_events([event])
    error = caught(recorder.insert_events, [event])
    assert isinstance(error, IntegrityError)
    assert "hidden-state" not in texts.traceback(error)
    statement = select(text("nothing").bindparams(), literal("hidden-state"))
    with factory.datastore.engine.connect() as connection:
        connection.engine.hide_parameters = False
        refused = caught(connection.execute, statement)
    assert isinstance(refused, SQLAlchemyError)
    assert "hidden-state" not in texts.traceback(refused)
    assert isinstance(refused, StatementError)
    assert refused.hide_parameters is False, "it is the user's own, too"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://user:{QUOTED}@host/name",
        f"postgresql+psycopg://user@host/name?password={QUOTED}",
    ],
)
@pytest.mark.parametrize("variable", ["SQLALCHEMY_URL", "SQLALCHEMY_LISTEN_URL"])
def test_has_no_passwords(url: str, variable: str) -> None:
    other = "postgresql+psycopg://host/name"
    settings = Settings.from_env(
        Environment("a", {"SQLALCHEMY_URL": other, variable: url})
    )
    store = SQLAlchemyDatastore(settings)
    try:
        texts = FailureTexts(store)
    finally:
        store.close()
    error = caught(fail_because, f"cannot connect to {url}: {PASSWORD}")
    for told in (texts.message(error), texts.traceback(error)):
        assert PASSWORD not in told
        assert QUOTED not in told
        assert "cannot connect to postgresql" in told
        assert "***" in told
