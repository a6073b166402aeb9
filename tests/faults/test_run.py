"""The command `run`, where processes are killed and databases are away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends import Capability
from cli.command import CommandProcess
from cli.running import Running, running
from cli.shop import DECLARED, Sales, Shop
from faults.proxy import Proxy
from faults.waiting import wait_until

QUICK = DECLARED + "lease_duration = 1.0\n"


@pytest.fixture
def shop(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with Shop() as shop:
        yield shop


@pytest.fixture
def sales(shop: Shop) -> Sales:
    factory: Any = shop.factory
    return Sales(factory.datastore, "sales")


@pytest.mark.needs(Capability.SHARED)
def test_another_takes_over_from_one_that_is_killed(
    env: dict[str, str], tmp_path: Path, shop: Shop, sales: Sales
) -> None:
    command = CommandProcess(env, tmp_path)
    command.declare(QUICK)
    product_id = shop.add("book")
    with running(command, "sales") as first:
        sales.wait("Shop", shop.sell(product_id, 2), timeout=20)
        with running(command, "sales", "--health-port", "0") as second:
            wait_until(lambda: state_of(second) == "standby", "it does not stand by")
            first.process.kill()
            last = shop.sell(product_id, 3)
            sales.wait("Shop", last, timeout=20)
            assert sales.sold() == 5
            assert first.process.wait(20) == -signal.SIGKILL
            wait_until(lambda: state_of(second) == "following", "it does not say so")
            second.process.terminate()
            assert second.process.wait(20) == 0


def state_of(run: Running) -> str:
    return str(run.probe("/healthz")[1]["state"])


@pytest.mark.needs(Capability.SERVER)
@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall])
def test_outages_are_waited_out(
    env: dict[str, str],
    tmp_path: Path,
    shop: Shop,
    sales: Sales,
    proxy: Proxy,
    fault: Any,
) -> None:
    command = CommandProcess({**env, "SQLALCHEMY_URL": proxy.url}, tmp_path)
    command.variables["SQLALCHEMY_ANSWER_TIMEOUT"] = "2"
    command.declare(QUICK)
    product_id = shop.add("book")
    with running(command, "sales", "--health-port", "0") as run:
        sales.wait("Shop", shop.sell(product_id, 2), timeout=20)
        wait_until(lambda: run.probe("/readyz")[0] == 200, "it is not ready")
        fault(proxy)
        wait_until(lambda: run.probe("/readyz")[0] == 503, "it is ready still")
        status, seen = run.probe("/healthz")
        assert (status, seen["is_stale"], seen["problem"]) == (200, True, None)
        assert "does not answer: " in run.probe("/readyz")[1]["problem"]
        assert run.get("/metrics")[0] == 200
        last = shop.sell(product_id, 3)
        proxy.heal()
        sales.wait("Shop", last, timeout=30)
        wait_until(lambda: run.probe("/readyz")[0] == 200, "it is not ready again")
        assert sales.sold() == 5
        run.process.terminate()
        assert run.process.wait(20) == 0


@pytest.mark.needs(Capability.SERVER)
def test_a_signal_in_an_outage(
    env: dict[str, str], tmp_path: Path, shop: Shop, sales: Sales, proxy: Proxy
) -> None:
    command = CommandProcess({**env, "SQLALCHEMY_URL": proxy.url}, tmp_path)
    command.declare(QUICK)
    with running(command, "sales") as run:
        sales.wait("Shop", shop.sell(shop.add("book"), 2), timeout=20)
        proxy.refuse()
        run.waits_for("The database is unavailable")
        run.process.terminate()
        assert run.process.wait(20) == 0
        assert run.process.stderr is not None
        assert "Traceback" not in run.process.stderr.read()


@pytest.mark.needs(Capability.SERVER)
def test_a_database_that_is_away_from_the_beginning(
    env: dict[str, str], tmp_path: Path, proxy: Proxy
) -> None:
    proxy.refuse()
    command = CommandProcess({**env, "SQLALCHEMY_URL": proxy.url}, tmp_path)
    command.variables["SQLALCHEMY_RETRY_TIMEOUT"] = "0"
    command.declare(QUICK)
    assert "Error: " in command("run", "sales", code=3).stderr
