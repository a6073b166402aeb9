"""Database URLs, as they are given and as they are used."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from commandline import Alembic
from eventsourcing_alchemy.dialects.urls import normalise_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://h/d", "postgresql+psycopg"),
        ("mysql://h/d", "mysql+pymysql"),
        ("mariadb://h/d", "mariadb+pymysql"),
        ("sqlite:///file.db", "sqlite"),
        ("mysql+mysqldb://h/d", "mysql+mysqldb"),
        ("oracle://h/d", "oracle"),
    ],
)
def test_a_driver_is_named(given: str, used: str) -> None:
    assert normalise_url(given).drivername == used
    assert normalise_url(make_url(given)).drivername == used


def test_the_rest_is_kept() -> None:
    url = normalise_url("postgresql://me:p%40%25%3A@h:1/d?application_name=a")
    assert url.password == "p@%:"  # noqa: S105
    assert url == make_url("postgresql+psycopg://me:p%40%25%3A@h:1/d").set(
        query={"application_name": "a"}
    )


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://me:s3cret@h/d", "sqlite+aiosqlite:///file.db"]
)
def test_drivers_for_asyncio_are_refused(url: str, alembic: Alembic) -> None:
    problem = "is a driver for asyncio: use a synchronous one"
    with pytest.raises(ValueError, match=problem) as raised:
        normalise_url(url)
    assert "s3cret" not in str(raised.value)
    for options in [], ["--sql"]:
        assert "s3cret" not in alembic(url, "upgrade", "head", *options, error=problem)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "postgresql://me:p@h:s3cret@h/d",
        "postgresql://me@h:s3cret/d",
        "postgres://me:s3cret@h/d",
        "postgresql+unheardof://me:s3cret@h/d",
        "a+b+c://me:s3cret@h/d",
    ],
)
def test_errors_do_not_tell_secrets(url: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be parsed|no SQLAlchemy") as raised:
        normalise_url(url)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__context__
