"""The topics that are looked for."""

from collections.abc import Iterable

MOST_IN_SQL = 500
"""Topics that are asked for in SQL. Databases and drivers limit the parameters of a
statement, the lowest limits being about 1,000."""


class TopicFilter:
    """The topics that are looked for.

    Attributes:
        wanted: the topics; empty for all.
        is_in_sql: whether the database filters; otherwise there are too many of them.
        parameters: of `window()`.

    Args:
        topics: in any order, each as often as it likes.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self.wanted = frozenset(topics)
        self.is_in_sql = len(self.wanted) <= MOST_IN_SQL
        in_sql = sorted(self.wanted) if self.is_in_sql else ()
        self.parameters = {f"topic_{n}": topic for n, topic in enumerate(in_sql)}
