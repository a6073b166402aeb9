"""The file that a URL of SQLite's leads to."""

from pathlib import Path
from urllib.parse import parse_qs, unquote

from sqlalchemy import URL
from sqlalchemy.util import asbool


def path_of(url: URL) -> Path | None:
    """The absolute path of the file, None for a database in memory.

    Args:
        url: SQLAlchemy's. An option in it says whether it has a URI in SQLite's sense.
    """
    database = url.database or ""
    if not _has_uri(url):
        return _absolute(database)
    path, _, query = database.removeprefix("file:").partition("#")[0].partition("?")
    options = {**url.normalized_query, **parse_qs(query)}
    if "memory" in options.get("mode", ()) or "memdb" in options.get("vfs", ()):
        return None
    if path.startswith("//"):  # An authority follows, which is empty or this host.
        path = "/" + path[2:].partition("/")[2]
    return _absolute(unquote(path))


def with_absolute_path(url: URL) -> URL:
    """The same URL wherever the process is, unless the database is in memory.

    Args:
        url: SQLAlchemy's, which makes only paths absolute that are in no URI.
    """
    path = path_of(url)
    if path is None:
        return url
    if not _has_uri(url):
        return url.set(database=str(path))
    _, mark, options = str(url.database).partition("#")[0].partition("?")
    return url.set(database=path.as_uri() + mark + options)


def _has_uri(url: URL) -> bool:
    try:
        is_uri = asbool(url.query.get("uri", False))
    except ValueError:  # No engine can be made of it, which tells what is wrong.
        return False
    return is_uri and (url.database or "").startswith("file:")


def _absolute(name: str) -> Path | None:
    return None if name in {"", ":memory:"} else Path(name).absolute()
