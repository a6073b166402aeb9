"""The same durability for all who use SQLite."""

import sqlite3
from typing import Any

_FULL = 2


def make_full_the_default() -> bool:
    """Makes `synchronous=FULL` the default, where SQLite was built with another one.

    Returns:
        Whether that was necessary.
    """
    with sqlite3.connect(":memory:") as connection:
        options = {option for (option,) in connection.execute("PRAGMA compile_options")}
    levels = {option for option in options if "SYNCHRONOUS" in option}
    if all(level.endswith(f"={_FULL}") for level in levels):
        return False
    connect = sqlite3.connect

    def connect_durably(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute(f"PRAGMA synchronous={_FULL}").close()
        return connection

    for module in (sqlite3, sqlite3.dbapi2):
        module.connect = connect_durably  # type: ignore[attr-defined]
    return True
