"""A copy, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from eventsourcing_alchemy.operations.discrepancies import (
    CopyRefusedError,
    Discrepancy,
    VerificationError,
)
from eventsourcing_alchemy.operations.transfer.comparison import (
    Count,
    compared_events,
    difference,
)
from eventsourcing_alchemy.operations.transfer.positions import (
    Positions,
    store_positions,
)
from eventsourcing_alchemy.operations.transfer.progress import (
    CopyPhase,
    Listener,
    Meter,
)
from eventsourcing_alchemy.operations.transfer.snapshot_copy import SnapshotCopy
from eventsourcing_alchemy.operations.transfer.source import Source
from eventsourcing_alchemy.operations.transfer.target import Target

NAMED = 20
"""Differences that are named, of any number."""


@dataclass(frozen=True)
class Copied:
    """The result of a copy.

    Attributes:
        events: the number of events that this run copied.
        snapshots: the number of snapshots that this run copied.
        position: the position of the last event, on both sides.
        positions: for each projection, its position in each application that it
            follows.
        verified: the number of records that were compared, including those of
            earlier runs.
    """

    events: int
    snapshots: int
    position: int
    positions: Mapping[str, Mapping[str, int]]
    verified: int


class CopyRun:
    """Copies, and compares what it has not compared yet.

    Args:
        source: where to copy from.
        target: where to copy to.
        snapshots: copies snapshots, None where there are none.
        projections: of which to copy the positions.
        listener: is told the progress.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        snapshots: SnapshotCopy | None,
        projections: Sequence[Positions],
        listener: Listener | None,
    ) -> None:
        self._source = source
        self._target = target
        self._snapshots = snapshots
        self._projections = projections
        self._listener = listener
        self._last = target.last()
        self._compared = 0
        self._events = self._compared_events = self._compared_snapshots = 0
        self._positions: Mapping[str, Mapping[str, int]] = {}

    def refuse_events_of_its_own(self) -> None:
        """Makes sure that the target has nothing but what was copied.

        Raises:
            CopyRefusedError: if the application has events of its own there, or had.
        """
        counter = self._target.counter()
        # What a projection has reached was given in the source.
        given = max(self._source.given(), self._target.reached())
        if counter > max(given, self._last):
            raise CopyRefusedError(
                f"Application {self._target.name!r} in the target has had events of "
                f"its own, which were deleted: it has given positions up to {counter}, "
                f"the source up to {given}. Copy into an application without events"
            )
        if not self._last:
            return
        layout = self._source.log.layout
        there, here = self._source.log.at(self._last), self._target.log.at(self._last)
        problem = difference(there, here, layout.columns)
        if here is None:
            problem = "is of another kind"
        if problem is not None:
            raise CopyRefusedError(
                f"Application {self._target.name!r} in the target has events of its "
                f"own: the last one, at position {self._last}, {problem}. Copy into an "
                f"application without events"
            )

    def copy_all(self) -> None:
        """Copies what there is, and compares it.

        Snapshots are compared as they are copied: the source may take others later.
        """
        self.copy_events()
        for copying in self._snapshots_there():
            self._copy_snapshots(copying)
            # No snapshot is to be ahead of its aggregate's events.
            self.copy_events()
        self._reserve_positions()
        for projection, positions in self._positions.items():
            store_positions(self._target.datastore, projection, positions)
        # All, for what has been changed, or has filled a gap, since it was compared.
        self._compared = self._compared_events = 0
        self.compare_new_events()

    def _reserve_positions(self) -> None:
        """Has the target give no position again that the source has given.

        Its event may have been deleted, or its transaction rolled back.
        """
        name = self._target.name
        reached = [each.get(name, 0) for each in self._positions.values()]
        given = max(self._target.reached(), *reached, self._source.given())
        if self._target.counter() < given:
            # Of what is recorded up to there, nothing is to come later: those who
            # read the target would pass over it.
            self._source.settle()
            self.copy_events()
            self._target.reserve(given)

    def _snapshots_there(self) -> Sequence[SnapshotCopy]:
        copying = self._snapshots
        return [copying] if copying is not None and copying.source.are_there() else []

    def _copy_snapshots(self, copying: SnapshotCopy) -> None:
        meter = self._meter(CopyPhase.SNAPSHOTS, copying.source.count())
        self._verify(copying.copy(self._counting(meter)))
        self._compared_snapshots += meter.done

    def copy_events(self) -> None:
        """Copies the events that are new, up to where the source is now."""
        head, positions = self._moment()
        meter = self._meter(CopyPhase.EVENTS, head - self._last)
        pages = partial(self._source.log.pages, lte=head)
        while self._last < head:
            stored = self._target.append(pages, self._last)
            if not stored.events:
                break
            self._last = stored.position
            self._events += stored.events
            meter.count(stored.events, self._last)
        self._positions = positions

    def _moment(self) -> tuple[int, Mapping[str, Mapping[str, int]]]:
        """A position up to which nothing appears any more, and those of projections.

        None of these is beyond it. An event-sourced projection commits its events with
        its position, so its own have to be of the same moment. Others may go on.
        """
        names = {each.projection for each in self._projections}
        is_projection = self._target.name in names
        log = self._source.log
        while True:
            before = log.head()
            positions = {each.projection: each.read() for each in self._projections}
            head = log.head()
            if is_projection and head != before:
                continue
            is_settled = self._source.is_settled(self._last, head)
            if is_settled or not is_projection:
                return head, positions

    def compare_new_events(self) -> None:
        """Compares the events that were not compared yet."""
        self._verify(self._different_events(self._last))

    def differences(self, upto: int) -> Iterator[Discrepancy]:
        """What differs in events not compared yet, in the counter, in all snapshots.

        Args:
            upto: position up to which to compare events.
        """
        yield from self._different_events(upto)
        yield from self._unreserved()
        for copying in self._snapshots_there():
            meter = self._meter(CopyPhase.VERIFYING, copying.source.count())
            yield from copying.differences(self._counting(meter))
            self._compared_snapshots += meter.done

    def _unreserved(self) -> Iterator[Discrepancy]:
        """The last position of the source, if only the target would give it again."""
        given = self._source.given()
        if given > max(self._source.log.head(), self._target.counter()):
            problem = (
                "was given in the source, to an event that is not there any more, and "
                "the target would give it to another one: copy again"
            )
            yield Discrepancy(self._target.name, given, problem)

    def _different_events(self, upto: int) -> Iterator[Discrepancy]:
        meter = self._meter(CopyPhase.VERIFYING, upto - self._compared)
        yield from compared_events(
            self._target.name,
            self._source.log,
            self._target.log,
            self._compared,
            upto,
            meter.count,
        )
        yield from self._target.events_without_predecessor(self._compared, upto)
        self._compared_events += meter.done
        self._compared = upto

    def _verify(self, discrepancies: Iterator[Discrepancy]) -> None:
        named = list(islice(discrepancies, NAMED + 1))
        if named:
            raise VerificationError(named[:NAMED], are_all=len(named) <= NAMED)

    def _counting(self, meter: Meter) -> Count:
        return partial(meter.count, position=self._last)

    def _meter(self, phase: CopyPhase, total: int) -> Meter:
        return Meter(self._listener, phase, total)

    def result(self) -> Copied:
        """What was copied until now."""
        return Copied(
            self._events,
            self._snapshots.copied if self._snapshots is not None else 0,
            self._last,
            self._positions,
            self._compared_events + self._compared_snapshots,
        )
