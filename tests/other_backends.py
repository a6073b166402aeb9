"""Databases and drivers that `nox -s databases` runs the tests on, beside the usual."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ctypes.util import find_library
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from sqlalchemy import make_url

import plain  # noqa: F401 (registers its dialect)
from backends import (
    BACKENDS,
    FILE,
    Backend,
    Capability,
    MariaDB,
    PostgreSQL,
    SQLiteFile,
)

_UNCOMMON = {
    Capability.NOTIFY,
    Capability.PREPARED_PLANS,
    Capability.CURSOR_CLASSES,
    Capability.CHARACTER_SETS,
    Capability.KNOWN_SOCKETS,
}
"""What is tested with the usual driver alone."""

_ENGINE = "*/firebird/3.0/plugins/libEngine12.so"


@dataclass(frozen=True)
class _OtherDriver(Backend):
    """Databases of a usual server, by another driver or under another name."""

    drivername: str = ""
    module: str = ""

    def unreachable(self) -> str | None:
        if not find_spec(self.module):
            return f"{self.module} is not installed"
        return super().unreachable()

    def fresh(self, directory: Path) -> Backend:
        database = super().fresh(directory)
        url = make_url(database.url).set(drivername=self.drivername, query={})
        return replace(database, url=url.render_as_string(hide_password=False))


@dataclass(frozen=True)
class OtherPostgreSQL(_OtherDriver, PostgreSQL):
    """PostgreSQL, by another driver or under another name."""

    # Where the dialect does not see to it, psycopg reads times in no other style.
    other_settings: ClassVar[Mapping[str, str]] = {
        "options": PostgreSQL.other_settings["options"].replace(
            "-c DateStyle=SQL,DMY ", ""
        )
    }


@dataclass(frozen=True)
class OtherMariaDB(_OtherDriver, MariaDB):
    """MariaDB, by another driver."""


class SQLCipherFile(SQLiteFile):
    """An encrypted file; by default, a connection takes half a second for its key."""

    def unreachable(self) -> str | None:
        return None if find_spec("sqlcipher3") else "sqlcipher3 is not installed"

    def fresh(self, directory: Path) -> Backend:
        url = f"sqlite+pysqlcipher://:secret@/{directory / 'test.db'}?kdf_iter=4000"
        return replace(self, url=url)


class Firebird(Backend):
    """A file, by the engine that Debian's firebird3.0-server-core has for embedding."""

    def unreachable(self) -> str | None:
        if not find_spec("firebird") or not find_spec("sqlalchemy_firebird"):
            return "sqlalchemy-firebird is not installed"
        if not find_library("fbclient") or not [*Path("/usr/lib").glob(_ENGINE)]:
            return "firebird3.0-server-core is not installed"
        return None

    def fresh(self, directory: Path) -> Backend:
        # Read once, when its library is loaded.
        os.environ.setdefault("FIREBIRD_LOCK", str(directory.parent))
        driver = import_module("firebird.driver")
        # Smaller pages have keys that are too short for the indexes.
        driver.driver_config.db_defaults.page_size.value = 16384
        path = directory / "test.fdb"
        driver.create_database(str(path), user="SYSDBA", charset="UTF8").close()
        url = f"firebird+firebird://SYSDBA@/{path}?charset=UTF8"
        return replace(self, url=url)


def _postgresql(
    name: str, driver: str, module: str, *lacking: Capability
) -> OtherPostgreSQL:
    (usual,) = (each for each in BACKENDS if isinstance(each, PostgreSQL))
    return OtherPostgreSQL(
        name,
        "",
        usual.capabilities - _UNCOMMON - set(lacking),
        variable=usual.variable,
        usual=usual.usual,
        drivername=driver,
        module=module,
    )


def _mariadb(driver: str, module: str) -> OtherMariaDB:
    (usual,) = (each for each in BACKENDS if isinstance(each, MariaDB))
    return OtherMariaDB(
        driver,
        "",
        usual.capabilities - _UNCOMMON,
        variable=usual.variable,
        usual=usual.usual,
        drivername=f"mariadb+{driver}",
        module=module,
    )


OTHER_BACKENDS: Sequence[Backend] = (
    _postgresql(
        "plain",
        "plain+psycopg",
        "psycopg",
        Capability.COUNTING_UPDATE,
        Capability.DEPENDENT_UPSERT,
        Capability.KNOWN_ERRORS,
        Capability.KNOWN_SIDE_EFFECTS,
        Capability.KNOWN_STATE,
        Capability.LOCK_TIMEOUT,
        Capability.OWN_CURSOR,
        Capability.TRANSACTIONAL_DDL,
    ),
    _postgresql("psycopg2", "postgresql+psycopg2", "psycopg2"),
    _postgresql("pg8000", "postgresql+pg8000", "pg8000", Capability.SEARCH_PATH),
    _mariadb("mysqldb", "MySQLdb"),
    _mariadb("mysqlconnector", "mysql.connector"),
    _mariadb("mariadbconnector", "mariadb"),
    SQLCipherFile("sqlcipher", "", FILE),
    Firebird("firebird", "", frozenset({Capability.SHARED, Capability.MVCC})),
)
"""Each runs where it is asked for: `pytest --databases=plain,psycopg2`."""
