"""What is found out: figures, and what databases say of their plans."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A number.

    Attributes:
        part: of the benchmark.
        database: kind of the database.
        name: what was measured.
        value: in the unit.
        unit: of the value.
        events: how many there were, where that is varied; else None.
        limit: what the value must not exceed, None if there is none.
    """

    part: str
    database: str
    name: str
    value: float
    unit: str
    events: int | None = None
    limit: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the value exceeds its limit."""
        return self.limit is not None and self.value > self.limit


@dataclass(frozen=True)
class Note:
    """What a database says.

    Attributes:
        database: kind of the database.
        title: what it is about.
        text: of one or more lines.
    """

    database: str
    title: str
    text: str


@dataclass
class Findings:
    """All that was found out, and which measurements failed."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Adds those of a process."""
        self.figures += other.figures
        self.notes += other.notes
        self.failures += other.failures

    def of(self, part: str, database: str | None = None) -> list[Figure]:
        """The figures of a part."""
        return [
            each
            for each in self.figures
            if each.part == part and database in (None, each.database)
        ]

    def missed(self) -> list[Figure]:
        """The figures that exceed their limits."""
        return [each for each in self.figures if each.is_missed]

    def to_json(self, **about: Any) -> str:
        """Everything, for programs."""
        return json.dumps({**about, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Findings":
        """Of what `to_json()` returned."""
        values = json.loads(text)
        return cls(
            [Figure(**each) for each in values["figures"]],
            [Note(**each) for each in values["notes"]],
            values["failures"],
        )


def unique(values: Iterable[Any]) -> Sequence[Any]:
    """Each value once, in the order in which they come first."""
    return list(dict.fromkeys(values))
