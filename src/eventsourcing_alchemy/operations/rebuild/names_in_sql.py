"""Names of tables in SQL that is given as text."""

import re
from collections.abc import Collection

from sqlalchemy import Dialect

_COMMENTS = r"--[^\n]*|/\*(?!M?!).*?\*/"
"""The server executes what is in a comment that begins with an exclamation mark."""


class NamesInSQL:
    """Finds names, wherever they stand but in literals and comments.

    Only the database knows what is a table's name there, and what a column's.

    Args:
        names: of tables.
        dialect: SQLAlchemy's.
    """

    def __init__(self, names: Collection[str], dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote_identifier
        written = {each for name in names for each in (name, quote(name)[1:-1])}
        alternatives = "|".join(map(re.escape, sorted(written)))
        comments = _COMMENTS + (r"|\#[^\n]*" if quote("x")[0] == "`" else "")
        # Behind an E, PostgreSQL's literals have escapes, too.
        escaped = r"'(?:[^'\\]|''|\\.)*'"
        has_escapes = getattr(dialect, "_backslash_escapes", False)
        literals = escaped if has_escapes else rf"\bE{escaped}|'(?:[^']|'')*'"
        self._pattern = re.compile(
            rf"(?<![\w$])[\"`\[]?(?P<name>{alternatives or '(?!)'})[\"`\]]?(?![\w$])"
            rf"|{comments}|{literals}|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`",
            re.IGNORECASE | re.DOTALL,
        )

    def first(self, sql: str) -> str | None:
        """The first one; None if there is none.

        Args:
            sql: a statement, or a part of one.
        """
        found = (each["name"] for each in self._pattern.finditer(sql))
        return next(filter(None, found), None)
