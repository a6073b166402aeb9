"""The host's cases for dynamic consistency boundaries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eventsourcing.dcb.tests import DCBRecorderTestCase
from eventsourcing.tests import projection

from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyFactory, SQLAlchemyProjectionRunner
from factories import OpenFactory
from hostcases import shipped

pytestmark = pytest.mark.least_privilege


class Recorder(DCBRecorderTestCase):
    __test__ = False
    factory: SQLAlchemyFactory

    def test_append_read(self) -> None:
        self._test_append_read(self.factory.dcb_recorder())

    def test_append_subscribe(self) -> None:
        self._test_append_subscribe(self.factory.dcb_recorder())


class TaggedProjection(projection.TaggedDecisionCountersProjectionTestCase):
    __test__ = False
    view_class = EventCounters


@shipped(Recorder)
def test_recorder(case: type[Recorder], method: str, open_factory: OpenFactory) -> None:
    test = case(method)
    test.factory = open_factory()
    test.debug()


@pytest.fixture
def forget_projections(env: dict[str, str]) -> Iterator[None]:  # noqa: ARG001
    """CPython 3.13.0 keeps what the methods were called on that dispatch by type."""
    yield
    for method in vars(projection.TaggedDecisionCountersProjection).values():
        kept = getattr(method, "_method_cache", None)
        if kept is not None:
            kept.clear()


@pytest.mark.usefixtures("forget_projections")
@pytest.mark.parametrize("runner", ["host's runner", "our runner"])
@shipped(TaggedProjection)
def test_projection(
    case: type[TaggedProjection],
    method: str,
    env: dict[str, str],
    runner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if runner == "our runner":
        monkeypatch.setattr(projection, "ProjectionRunner", SQLAlchemyProjectionRunner)
    mapper = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}
    running = type(case.__name__, (case,), {"env": {**env, **mapper}})
    running(method).debug()
