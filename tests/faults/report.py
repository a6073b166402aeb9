"""What was done to servers and connections in this process, and how it went on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from statistics import median
from threading import Lock

injected: Counter[str] = Counter()
"""How many faults there were, by kind."""

_recoveries: defaultdict[str, list[float]] = defaultdict(list)
_lock = Lock()


def inject(kind: str) -> None:
    """Count a fault. Those of this package count themselves."""
    with _lock:
        injected[kind] += 1


def recovered(kind: str, seconds: float) -> None:
    """Note how long it took, from the end of an outage, until work went on."""
    with _lock:
        _recoveries[kind].append(seconds)


def exported() -> tuple[dict[str, int], dict[str, list[float]]]:
    """All of it, for another process to absorb."""
    return dict(injected), dict(_recoveries)


def absorb(
    others: tuple[dict[str, int], dict[str, list[float]]] | None,
) -> None:
    """Add what was done in another process, if that told."""
    if others:
        counts, recoveries = others
        injected.update(counts)
        for kind, seconds in recoveries.items():
            _recoveries[kind].extend(seconds)


def summary() -> Iterator[str]:
    """The lines to print at the end of a run; none if nothing was injected."""
    if injected:
        counts = ", ".join(
            f"{kind} {count}" for kind, count in sorted(injected.items())
        )
        yield f"faults injected: {counts}"
    for kind, seconds in sorted(_recoveries.items()):
        yield (
            f"recovered from {kind} {len(seconds)} times: "
            f"median {median(seconds):.2f} s, worst {max(seconds):.2f} s"
        )
