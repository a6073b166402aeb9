"""The real event log of the BPI Challenge 2012: applications for loans at a bank."""

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5
from xml.etree import ElementTree

from eventsourcing.persistence import StoredEvent

from benchmarks.domain import Bank, LoanApplication
from benchmarks.jobs import Job

_XES = "{http://www.xes-standard.org/}"
_STEP = ("concept:name", "lifecycle:transition", "org:resource", "time:timestamp")


def prepare(log: Path, prepared: Path) -> int:
    """Makes stored events of the log, once for all measurements.

    Args:
        log: in XES, gzipped.
        prepared: to be written: an aggregate a line.

    Returns:
        The number of events.
    """
    mapper = Bank(env={"PERSISTENCE_MODULE": "eventsourcing.popo"}).mapper
    count = 0
    with gzip.open(log) as source, prepared.open("w") as target:
        for trace in _traces(source):
            stored = [
                mapper.to_stored_event(event)
                for event in _loan_application(trace).collect_events()
            ]
            events = [(each.topic, each.state.decode()) for each in stored]
            number = _values(trace)["concept:name"]
            identity = uuid5(NAMESPACE_URL, f"/loan-applications/{number}")
            target.write(json.dumps([identity.hex, events]) + "\n")
            count += len(events)
    return count


def _traces(source: gzip.GzipFile) -> Iterator[ElementTree.Element]:
    # The log is a file of the user's own.
    for _, element in ElementTree.iterparse(source):  # noqa: S314
        if element.tag == f"{_XES}trace":
            yield element
            element.clear()


def _values(element: ElementTree.Element) -> dict[str, str]:
    return {
        each.attrib["key"]: each.attrib["value"]
        for each in element
        if "key" in each.attrib and "value" in each.attrib
    }


def _loan_application(trace: ElementTree.Element) -> LoanApplication:
    amount = int(_values(trace)["AMOUNT_REQ"])
    first, *others = (_step(event) for event in trace.iter(f"{_XES}event"))
    loan = LoanApplication(amount, *first)
    for step in others:
        loan.record(*step)
    return loan


def _step(event: ElementTree.Element) -> tuple[str, str, str, str]:
    activity, transition, resource, at = (_values(event).get(k, "") for k in _STEP)
    return activity, transition, resource, at


def loans(job: Job) -> Iterator[list[StoredEvent]]:
    """The events of one loan application after the other."""
    with Path(job.events).open() as prepared:
        for line in islice(prepared, job.sizes.loans):
            identity, events = json.loads(line)
            yield [
                StoredEvent(UUID(identity), version, topic, state.encode())
                for version, (topic, state) in enumerate(events, 1)
            ]
