"""Which table a statement writes to, as far as its beginning tells."""

import re

_NAME = r'(?:[\w$]+|"[^"]+"|`[^`]+`)'
_WRITES = re.compile(
    r"\s*(?:(?:INSERT(?:\s+OR\s+\w+|\s+IGNORE)?|REPLACE|MERGE)\s+INTO"
    r"|UPDATE(?:\s+OR\s+\w+|\s+ONLY|\s+IGNORE)?"
    r"|DELETE\s+FROM(?:\s+ONLY)?|TRUNCATE(?:\s+TABLE)?)\s+"
    rf"(?:{_NAME}\s*\.\s*)*({_NAME})",
    re.IGNORECASE,
)


def written_table(statement: str) -> str | None:
    """The name of the table, without its schema; None if it writes to none.

    Args:
        statement: as text, in the SQL of any database.
    """
    found = _WRITES.match(statement)
    return found[1].strip('"`') if found else None
