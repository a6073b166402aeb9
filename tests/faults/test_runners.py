"""Runners through outages: no event is blamed for them."""

from __future__ import annotations

import pytest

from backends import Capability
from behaviour.test_runners import QUICK, Noting, Parcels, Script
from eventsourcing_alchemy import PoisonPolicy, SQLAlchemyProjectionRunner, State
from eventsourcing_alchemy.database import retrying
from eventsourcing_alchemy.runners import attempts
from faults.proxy import Proxy
from faults.waiting import wait_until
from positions import Positions

pytestmark = pytest.mark.needs(Capability.SERVER)


def test_no_event_is_blamed_for_a_long_outage(
    env: dict[str, str], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it has failed meanwhile."""
    monkeypatch.setattr(retrying, "ENDURING_BACKOFF", QUICK)
    Noting.script = script = Script()
    with (
        Parcels(env) as parcels,
        SQLAlchemyProjectionRunner(
            application_class=Parcels,
            projection_class=Noting,
            view_class=Positions,
            env={**env, "NOTING_SQLALCHEMY_URL": proxy.url},
            poison=PoisonPolicy(dead_letter=True),
            lease_duration=None,
        ) as runner,
    ):
        runner.wait(parcels.send(), timeout=10)
        proxy.refuse()
        last = parcels.send()
        wait_until(lambda: len(script.tried) > 3 * attempts.SUSPICIOUS, "gave up")
        assert runner.health().state is State.RETRYING
        proxy.heal()
        runner.wait(last, timeout=20)
        assert runner.dead_letters.select() == []
        assert runner.view.all() == {1: 1, 2: 1}
