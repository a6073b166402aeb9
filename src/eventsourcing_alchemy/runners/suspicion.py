"""Whether batches fail because of what they do together."""


class Suspicion:
    """A suspicion that batches fail though each of their events can be processed.

    A batch that has failed is processed again, in parts. If none of its events fails
    alone, it was not one of them. Batches that fail again on the way to the end of the
    first one are the same case, unless they reach beyond it.

    Attributes:
        cases: how many batches have failed without a reason of their events'.
    """

    def __init__(self) -> None:
        self.cases = 0
        self._beyond = 0
        self._until: int | None = None

    def batch_failed(self, last: int) -> None:
        """Begins a case, or goes on with it.

        Args:
            last: position of the last event of the batch.
        """
        if self._until is not None and last > self._until:
            self._beyond += 1
        self._until = max(last, self._until or 0)

    def event_failed(self) -> None:
        """Ends the case: an event is to blame."""
        self._beyond, self._until = 0, None

    def reached(self, position: int) -> None:
        """Ends the case at its end: no event was to blame."""
        if self._until is not None and position >= self._until:
            self.cases += 1 + self._beyond
            self._beyond, self._until = 0, None
