"""What the benchmark asks a process to measure, and what it gets."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.sizes import Sizes


@dataclass(frozen=True)
class Address:
    """Where a database is; of SQLite, the name is the path of the file."""

    name: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Job:
    """What a process is to measure.

    Attributes:
        case: name of the case.
        contestant: name of the contestant.
        database: kind of the database.
        address: of the database.
        environment: variables with which the contestant finds the database.
        sizes: how much to measure.
        events: path of the real event log, prepared; empty if there is none.
    """

    case: str
    contestant: str
    database: str
    address: Address
    environment: Mapping[str, str]
    sizes: Sizes
    events: str = ""

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Job":
        """Of one line."""
        values = json.loads(line)
        values["address"] = Address(**values["address"])
        values["sizes"] = Sizes(**values["sizes"])
        return cls(**values)


@dataclass(frozen=True)
class Measured:
    """What a process measured.

    Attributes:
        metrics: numbers, by the name of the metric.
        facts: about the contestant: versions, settings of its connections.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Measured":
        """Of one line."""
        return cls(**json.loads(line))
