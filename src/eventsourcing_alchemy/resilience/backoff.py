"""Growing pauses between tries."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import uniform


@dataclass(frozen=True)
class Backoff:
    """Pauses that double, each shortened at random by up to a half.

    So processes that failed together do not all try again together.

    Attributes:
        first: the first pause, in seconds.
        longest: the longest pause, in seconds.
    """

    first: float = 0.05
    longest: float = 3.0

    def pauses(self) -> Iterator[float]:
        """Yields the pauses in seconds, without end."""
        pause = self.first
        while True:
            yield uniform(pause / 2, pause)  # noqa: S311 (not for secrets)
            pause = min(2 * pause, self.longest)
