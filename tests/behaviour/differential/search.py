"""Finds the smallest style that comes out differently."""

from __future__ import annotations

from dataclasses import dataclass

from behaviour.differential.comparison import Comparison
from behaviour.differential.styles import EVENTS, Style
from observations import Observation


@dataclass(frozen=True)
class Run:
    """How a runner is to process the events."""

    size: int
    observation: Observation


@dataclass(frozen=True)
class Finding:
    """A style, and what comes out differently in a run."""

    style: Style
    run: Run
    difference: str

    def __str__(self) -> str:
        return f"{self.style}\n{self.run}\n{self.difference}"


def finding(comparison: Comparison, style: Style, run: Run) -> Finding | None:
    """What is different, None if nothing is."""
    outcome = comparison.run(style, run.size, run.observation)
    difference = comparison.expected(style).difference(outcome)
    if difference is None and style.is_batched and run.size > 1:
        few = len(outcome.shared) < EVENTS / 2
        difference = f"only {sorted(outcome.shared)} shared transactions" * few or None
    return Finding(style, run, difference) if difference else None


def smallest(comparison: Comparison, found: Finding) -> Finding:
    """The finding with fewer parts of the style, as few as it takes."""
    for style in found.style.smaller():
        smaller = finding(comparison, style, found.run)
        if smaller is not None:
            return smallest(comparison, smaller)
    return found
