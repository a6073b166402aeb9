"""Locks and statements that take too long are no conflicts."""

from __future__ import annotations

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import OperationalError
from sqlalchemy import make_url

from backends import Backend, Capability
from factories import OpenFactory
from faults.report import inject
from faults.test_writers import locked, on_error

LOCK = "UPDATE es_applications SET last_notification_id = last_notification_id + 0"

CONDITION = DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["a"])]), after=1)
"""Holds after the first event."""

EVENT = DCBEvent("T", b"data", ["a"])


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_a_lock_that_is_released_too_late_is_waited_for_again(
    open_factory: OpenFactory, backend: Backend
) -> None:
    recorder = open_factory(SQLALCHEMY_LOCK_TIMEOUT="0.5").dcb_recorder()
    recorder.append([EVENT])
    with locked(backend, LOCK) as other:
        errors = on_error(recorder.datastore.engine, other.rollback)
        inject("lock timeout")
        assert recorder.append([EVENT], CONDITION) == 2
    assert len(errors) == 1


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_a_lock_that_is_not_released_is_an_error(
    open_factory: OpenFactory, backend: Backend
) -> None:
    factory = open_factory(
        SQLALCHEMY_LOCK_TIMEOUT="0.1", SQLALCHEMY_RETRY_TIMEOUT="0.2"
    )
    recorder = factory.dcb_recorder()
    recorder.append([EVENT])
    with locked(backend, LOCK):
        inject("lock timeout")
        with pytest.raises(OperationalError, match=r"(?i)lock"):
            recorder.append([EVENT], CONDITION)
    assert recorder.append([EVENT], CONDITION) == 2


@pytest.mark.needs(Capability.SERVER)
def test_a_statement_that_takes_too_long_is_tried_again(
    open_factory: OpenFactory, backend: Backend
) -> None:
    """By a limit of the session's own, which the server tells of."""
    factory = open_factory(
        SQLALCHEMY_URL=impatient(backend.url), SQLALCHEMY_RETRY_TIMEOUT="0.5"
    )
    recorder = factory.dcb_recorder()
    recorder.append([EVENT])
    inject("statement timeout")
    with (
        locked(backend, LOCK),
        pytest.raises(OperationalError, match=r"timeout|max_statement_time"),
    ):
        recorder.append([EVENT], CONDITION)
    with locked(backend, LOCK) as other:
        errors = on_error(recorder.datastore.engine, other.rollback)
        assert recorder.append([EVENT], CONDITION) == 2
    assert len(errors) == 1


def impatient(url: str) -> str:
    options = {
        "postgresql": {"options": "-c statement_timeout=200"},
        "mysql": {"init_command": "SET SESSION max_statement_time = 0.2"},
        "mariadb": {"init_command": "SET SESSION max_statement_time = 0.2"},
    }
    of_server = options[make_url(url).get_backend_name()]
    changed = make_url(url).update_query_dict(of_server)
    return changed.render_as_string(hide_password=False)
