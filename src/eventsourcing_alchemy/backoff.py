"""Growing pauses between tries."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import uniform


@dataclass(frozen=True)
class Backoff:
    """Pauses that double, each cut by up to a half at random.

    Those who failed together thus do not try again together.

    Attributes:
        first: seconds.
        longest: seconds.
    """

    first: float = 0.05
    longest: float = 3.0

    def pauses(self) -> Iterator[float]:
        """The pauses in seconds, without end."""
        pause = self.first
        while True:
            yield uniform(pause / 2, pause)  # noqa: S311 (not for secrets)
            pause = min(2 * pause, self.longest)
