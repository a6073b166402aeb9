"""The names that PostgreSQL gives to constraints and sequences without one."""

from collections.abc import Collection, Iterator, Sequence

LONGEST = 63
"""Bytes of a name."""

_LABELS = {
    "p": "pkey",
    "u": "key",
    "x": "excl",
    "f": "fkey",
    "c": "check",
    "n": "not_null",
    "seq": "seq",
}


def renamed(
    name: str,
    table: str,
    other: str,
    kind: str,
    columns: Sequence[str],
    taken: Collection[str],
) -> str:
    """The name that the server would have given, had the table another one.

    Args:
        name: of a constraint, or of the sequence of a column.
        table: name of its table.
        other: the other name of the table.
        kind: `contype` of the constraint, or `seq`.
        columns: their names.
        taken: names that others have. (The server numbers those that would be alike,
            also where a table was in the way that is not there any more.)

    Returns:
        The name as it is, if it is not the server's.
    """
    for middle in ("_".join(columns)[:LONGEST], None):
        labels = list(_labels(_LABELS[kind]))
        if any(name == _generated(table, middle, label) for label in labels):
            others = (_generated(other, middle, label) for label in labels)
            return next(each for each in others if each not in taken)
    return name


def _labels(label: str) -> Iterator[str]:
    yield label
    for number in range(1, 100):
        yield f"{label}{number}"


def _generated(table: str, middle: str | None, label: str) -> str:
    """As `makeObjectName()` of the server: the longer part is shortened."""
    first, second = table.encode(), (middle or "").encode()
    available = LONGEST - len(label) - 1 - (middle is not None)
    sizes = [len(first), len(second)]
    while sum(sizes) > available:
        sizes[sizes[0] <= sizes[1]] -= 1
    parts = [first[: sizes[0]].decode(errors="ignore")]
    if middle is not None:
        parts.append(second[: sizes[1]].decode(errors="ignore"))
    return "_".join([*parts, label])
