"""The file that a URL of SQLite's leads to."""

from pathlib import Path
from urllib.parse import parse_qs, unquote

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError


def path_of(url: URL) -> Path | None:
    """The absolute path of the file, None for a database in memory.

    Args:
        url: SQLAlchemy's. Its dialect says what is to be opened, and whether that is a
            URI in SQLite's sense.
    """
    try:
        (name, *_), options = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, TypeError, ValueError):
        # No engine can be made of it, which tells what is wrong.
        return _absolute(url.database or "")
    if options.get("uri") and name.startswith("file:"):
        return _path_of_uri(name.removeprefix("file:").partition("#")[0])
    return _absolute(name)


def _path_of_uri(uri: str) -> Path | None:
    path, _, query = uri.partition("?")
    if path.startswith("//"):  # An authority follows, which is empty or this host.
        path = "/" + path[2:].partition("/")[2]
    options = parse_qs(query)
    is_in_memory = "memory" in options.get("mode", ()) or "memdb" in options.get(
        "vfs", ()
    )
    return None if is_in_memory else _absolute(unquote(path))


def _absolute(name: str) -> Path | None:
    return None if name in {"", ":memory:"} else Path(name).absolute()
