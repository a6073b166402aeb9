"""The host's case for infrastructure factories."""

from __future__ import annotations

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.tests import persistence
from eventsourcing.utils import Environment

from eventsourcing_alchemy import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from hostcases import shipped

pytestmark = pytest.mark.least_privilege


class MyTrackingRecorder(SQLAlchemyTrackingRecorder):
    pass


class Factory(persistence.InfrastructureFactoryTestCase[SQLAlchemyFactory]):
    __test__ = False

    def expected_factory_class(self) -> type[SQLAlchemyFactory]:
        return SQLAlchemyFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return SQLAlchemyAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return SQLAlchemyApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return SQLAlchemyTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return MyTrackingRecorder

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return SQLAlchemyProcessRecorder


@shipped(Factory)
def test_factory(case: type[Factory], method: str, env: dict[str, str]) -> None:
    test = case(method)
    test.env = Environment("TestCase", env)
    test.debug()
