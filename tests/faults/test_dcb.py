"""Events with tags are stored once, whatever happens to the connection meanwhile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import IntegrityError

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyDCBRecorder
from eventsourcing_alchemy.database.group_commit import GroupCommit, Outcome
from eventsourcing_alchemy.dialects.base.dcb_appending import Append
from factories import OpenFactory
from faults.proxy import Proxy
from faults.test_writers import BREAKS, QUICK, Faulty, healing

pytestmark = pytest.mark.needs(Capability.SERVER)

INSERT = re.compile(rb"INSERT INTO es_dcb_events")
COMMITTED = re.compile(rb"^COMMIT|INSERT INTO es_dcb_events.*pg_notify", re.DOTALL)
"""What has stored events, once it is answered."""

CONDITIONS = [None, DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["a"])]), after=2)]
"""None, and one that the events which are appended would fail."""


def event() -> DCBEvent:
    return DCBEvent("T", b"data", ["a"])


@pytest.fixture
def direct(open_factory: OpenFactory) -> SQLAlchemyDCBRecorder:
    """Sees what is stored, past the proxy."""
    recorder = open_factory().dcb_recorder()
    recorder.append([event()])
    return recorder


@pytest.fixture
def writer(
    direct: SQLAlchemyDCBRecorder,  # noqa: ARG001
    open_factory: OpenFactory,
    proxy: Proxy,
) -> SQLAlchemyDCBRecorder:
    recorder = open_factory(SQLALCHEMY_URL=proxy.url, **QUICK).dcb_recorder()
    recorder.append([event()])
    return recorder


@pytest.mark.parametrize("condition", CONDITIONS, ids=["always", "unless there"])
@pytest.mark.parametrize("fault", BREAKS)
def test_lost_before_the_server_hears_of_it(
    writer: SQLAlchemyDCBRecorder,
    direct: SQLAlchemyDCBRecorder,
    proxy: Proxy,
    fault: Faulty,
    condition: DCBAppendCondition | None,
) -> None:
    trigger = proxy.when_client_sends(INSERT, lambda: fault(proxy))
    with healing(trigger.fired, proxy, f"{fault.__name__} in an insert"):
        assert writer.append([event(), event()], condition) == 4
    assert [each.position for each in direct.read()] == [1, 2, 3, 4]


@pytest.mark.parametrize("condition", CONDITIONS, ids=["always", "unless there"])
@pytest.mark.parametrize("fault", BREAKS)
def test_lost_after_the_server_has_committed(
    writer: SQLAlchemyDCBRecorder,
    direct: SQLAlchemyDCBRecorder,
    proxy: Proxy,
    fault: Faulty,
    condition: DCBAppendCondition | None,
) -> None:
    """Neither a false conflict nor a double append."""
    trigger = proxy.after_server_answers(COMMITTED, lambda: fault(proxy))
    with healing(trigger.fired, proxy, f"{fault.__name__} after a commit"):
        assert writer.append([event(), event()], condition) == 4
    assert [each.position for each in direct.read()] == [1, 2, 3, 4]


def test_lost_after_the_commit_of_threads_that_share_it(
    writer: SQLAlchemyDCBRecorder,
    direct: SQLAlchemyDCBRecorder,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each gets its own position, or its own error."""
    joined, lost = Semaphore(0), []
    append_all, join = writer._append_all, GroupCommit._join
    lead = GroupCommit._lead_nobody

    def join_and_tell(group_commit: GroupCommit[Any], request: Any) -> None:
        join(group_commit, request)
        joined.release()

    def tell_and_lead(group_commit: GroupCommit[Any], work: Any, append: Any) -> int:
        joined.release()
        return lead(group_commit, work, append)

    def append_and_lose(group: Sequence[Append]) -> Sequence[Outcome]:
        if len(group) > 1:
            lost.append(proxy.after_server_answers(COMMITTED, proxy.cut))
        return append_all(group)

    monkeypatch.setattr(GroupCommit, "_join", join_and_tell)
    monkeypatch.setattr(GroupCommit, "_lead_nobody", tell_and_lead)
    monkeypatch.setattr(writer, "_append_all", append_and_lose)
    unless_b = DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["b"])]))
    appends = [("a", None), ("a", None), ("b", unless_b), ("b", unless_b)]
    with ThreadPoolExecutor() as threads:
        with direct.transaction():
            direct.append([event()])
            calls = []
            for tag, condition in appends:  # The first one leads none.
                tagged = DCBEvent("T", b"data", [tag])
                calls.append(threads.submit(writer.append, [tagged], condition))
                assert joined.acquire(timeout=10)
        *stored, refused = calls
        assert [call.result(timeout=20) for call in stored] == [4, 5, 6]
        with pytest.raises(IntegrityError, match="position 6 "):
            refused.result(timeout=20)
    assert len(lost) == 1
    assert lost[0].fired.is_set()
    assert [each.event.tags for each in direct.read(after=3)] == [["a"], ["a"], ["b"]]


@pytest.mark.parametrize("condition", CONDITIONS, ids=["always", "unless there"])
def test_lost_after_the_commit_while_other_threads_append(
    writer: SQLAlchemyDCBRecorder,
    direct: SQLAlchemyDCBRecorder,
    proxy: Proxy,
    condition: DCBAppendCondition | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they append is no reason to look for it later than it was stored."""
    trigger = proxy.after_server_answers(COMMITTED, proxy.cut)
    append_again = writer._append_again

    def after_another(*args: Any) -> int:
        with ThreadPoolExecutor() as threads:
            assert threads.submit(writer.append, [event()]).result(20) == 5
        return append_again(*args)

    monkeypatch.setattr(writer, "_append_again", after_another)
    with healing(trigger.fired, proxy, "cut after a commit, beside other threads"):
        assert writer.append([event(), event()], condition) == 4
    assert [each.position for each in direct.read()] == [1, 2, 3, 4, 5]
