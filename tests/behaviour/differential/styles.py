"""The ways in which views are written, generated from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from backends import Capability
from behaviour.differential import encoding, mapping, nesting, reading, writing
from behaviour.differential.steps import KINDS, Step
from behaviour.differential.ways import PROCESSING, WAYS, Way

EVENTS = 15
"""Events that there are before a runner starts: batches of 1, 2, 4 and 8."""

STEPS = 6
"""Steps of a style, at the most."""

ATTEMPTS = 2
"""After which an event that fails is passed over."""

ALWAYS = 1000
"""More often than an event is tried."""

MODULES = encoding, mapping, nesting, reading, writing
"""Are imported for the steps that they define."""


@dataclass(frozen=True)
class Style:
    """The way in which a view is written.

    Attributes:
        ways: to process events, in turns.
        steps: of which each event takes some.
        failures: of events, by position: how often they fail.
    """

    ways: tuple[Way, ...]
    steps: tuple[Step, ...]
    failures: tuple[tuple[int, int], ...] = ()

    def way(self, position: int) -> Way:
        """That of an event, of which the last one is always tracked."""
        return (
            PROCESSING if position == EVENTS else self.ways[position % len(self.ways)]
        )

    @property
    def is_batched(self) -> bool:
        """Whether most of the events share transactions with others."""
        return (
            not self.failures
            and all(way.is_batched for way in self.ways)
            and all(step.kind.is_batched for step in self.steps)
        )

    def smaller(self) -> Iterator[Style]:
        """Styles that have one part less."""
        for index in range(len(self.steps)):
            yield replace(self, steps=_without(self.steps, index))
        for index in range(len(self.ways) if len(self.ways) > 1 else 0):
            yield replace(self, ways=_without(self.ways, index))
        for index in range(len(self.failures)):
            yield replace(self, failures=_without(self.failures, index))


def _without(parts: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    return (*parts[:index], *parts[index + 1 :])


def styles(seed: int, capabilities: Set[Capability]) -> Iterator[Style]:
    """Styles that have, together, each step once that the database is capable of."""
    random = Random(seed)  # noqa: S311
    kinds = [each for each in KINDS if each.needs <= capabilities]
    random.shuffle(kinds)
    for first in range(0, len(kinds), STEPS):
        yield Style(
            ways=(PROCESSING, *random.sample(WAYS, random.choice((0, 1, 2)))),
            steps=tuple(
                Step(kind, random.choice("abc"), random.choice((1, 1, 2, 3)))
                for kind in kinds[first : first + STEPS]
            ),
            failures=_failures(random),
        )


def _failures(random: Random) -> tuple[tuple[int, int], ...]:
    if random.random() < 0.75:
        return ()
    positions = random.sample(range(1, EVENTS), 2)
    return tuple((position, random.choice((1, ALWAYS))) for position in positions)
