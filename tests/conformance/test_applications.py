"""The host's cases for applications, which take everything from the environment."""

from __future__ import annotations

from unittest import TestCase

import pytest
from eventsourcing.tests import application
from eventsourcing.utils import get_topic

from eventsourcing_alchemy import SQLAlchemyFactory
from hostcases import shipped

pytestmark = pytest.mark.least_privilege


class Example(application.ExampleApplicationTestCase):
    __test__ = False
    expected_factory_topic = get_topic(SQLAlchemyFactory)


class Application(application.ApplicationTestCase):
    __test__ = False


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")
@shipped(Example, Application)
def test_application(
    case: type[TestCase],
    method: str,
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    case(method).debug()
