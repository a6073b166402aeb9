"""Which of those who append at the same time one statement can serve."""

from collections.abc import Mapping, Sequence

from eventsourcing_alchemy.dialects.base.dcb_appending import Append, condition_fails
from eventsourcing_alchemy.host import IntegrityError
from eventsourcing_alchemy.statements.dcb_query import Query


class Group:
    """Those who append at the same time, and what has become of each.

    One statement checks conditions against what is stored already. So it serves those
    whose conditions find nothing that others before them append.

    Attributes:
        outcomes: of each, the position of the last event, or the error of the
            condition; None as long as it is open.

    Args:
        application: name.
        group: events and conditions.
    """

    def __init__(self, application: str, group: Sequence[Append]) -> None:
        self.outcomes: list[int | IntegrityError | None] = [None] * len(group)
        self._application = application
        self._group = group
        self._served = _independent(group)

    @property
    def served(self) -> Sequence[Append]:
        """Whom the next statement serves."""
        return [self._group[n] for n in self._served]

    def refuse(self, found: Mapping[int, int]) -> None:
        """Takes those out whose condition finds an event.

        Args:
            found: positions of events, by number among the served.
        """
        for number, position in found.items():
            self._refuse(self._served[number], position)
        self._served = [n for n in self._served if self.outcomes[n] is None]

    def store(self, last: int) -> None:
        """Notes that the events of all who are served are stored, up to a position."""
        position = last - sum(len(append.events) for append in self.served)
        first: dict[int, int] = {}
        for n in self._served:
            first[n], position = position + 1, position + len(self._group[n].events)
            self.outcomes[n] = position
        if None in self.outcomes:
            for n in self._served:
                self._refuse_others(self._group[n], first[n])

    def _refuse_others(self, stored: Append, first: int) -> None:
        for n, append in enumerate(self._group):
            if self.outcomes[n] is not None or append.condition is None:
                continue
            for position, event in enumerate(stored.events, first):
                is_new = position > append.condition.after
                if is_new and append.condition.query.matches(event):
                    self._refuse(n, position)
                    break

    def _refuse(self, n: int, position: int) -> None:
        error = condition_fails(self._application, self._group[n], position)
        self.outcomes[n] = error


def _independent(group: Sequence[Append]) -> list[int]:
    tags: set[str] = set()
    types: set[str] = set()
    chosen = []
    for n, append in enumerate(group):
        query = append.condition.query if append.condition is not None else None
        if query is None or not types or not _may_find(query, types, tags):
            chosen.append(n)
            types.update(event.type for event in append.events)
            tags.update(tag for event in append.events for tag in event.tags)
    return chosen


def _may_find(query: Query, types: set[str], tags: set[str]) -> bool:
    return not query.items or any(
        tags.issuperset(item.tags) and not (item.types and types.isdisjoint(item.types))
        for item in query.items
    )
