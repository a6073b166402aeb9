"""`run`: in a process of its own, by signals and probes."""

from __future__ import annotations

import json
import signal

import pytest

from backends import Capability
from cli.command import Command
from cli.running import running
from cli.shop import DECLARED, Sales, Shop
from eventsourcing_alchemy import ConfigurationError

pytestmark = pytest.mark.needs(Capability.SHARED)

COPY = """
[tool.eventsourcing-alchemy.projections.copy]
application = "cli.shop:Shop"
projection = "cli.shop:CopyOfSales"
"""


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_until_a_signal_comes(
    shop: Shop, command_process: Command, number: signal.Signals
) -> None:
    command = command_process
    command.declare(DECLARED + COPY)
    product_id = shop.add("book")
    last = shop.sell(product_id, 2)
    with running(command, "sales", "copy", "--health-port", "0") as run:
        assert run.port
        sales = Sales(shop.factory.datastore, "sales")  # type: ignore[attr-defined]
        sales.wait("Shop", last, timeout=20)
        assert sales.sold() == 2
        status, body = run.get("/readyz")
        assert status == 200
        assert set(json.loads(body)["projections"]) == {"sales", "copy"}
        assert run.get("/healthz")[0] == 200
        assert run.get("/nothing")[0] == 404
        status, body = run.get("/metrics")
        assert (status, "eventsourcing" in body) == (200, True)
        states = {each["state"] for each in command.json("status")["projections"]}
        assert states == {"following"}
        run.process.send_signal(number)
        assert run.process.wait(20) == 0
        assert run.process.stdout is not None
        assert run.process.stdout.read() == ""
    (_, of_sales) = command.json("status")["projections"]
    assert (of_sales["name"], of_sales["state"]) == ("sales", "stopped")


def test_an_error_ends_it(shop: Shop, command_process: Command) -> None:
    command = command_process
    command.declare(DECLARED.replace("dead_letter = true", "dead_letter = false"))
    shop.sell(shop.add("book"), 13)
    with running(command, "sales") as run:
        assert run.process.wait(30) == 1
        assert run.process.stderr is not None
        log = run.process.stderr.read()
    assert "Projection 'sales' has failed: ValueError: unlucky" in log


def test_what_is_missing(command: Command) -> None:
    assert "no pyproject.toml" in command("run", "sales", code=2).stderr
    command.declare(DECLARED)
    assert "declares 'sales'" in command("run", "other", code=2).stderr
    command.variables["PERSISTENCE_MODULE"] = None
    unset = command("run", "sales", code=2).stderr
    assert "PERSISTENCE_MODULE is not set" in unset
    command.variables["PERSISTENCE_MODULE"] = "eventsourcing-alchemy"
    hyphen = command("run", "sales", code=2).stderr
    assert "set PERSISTENCE_MODULE=eventsourcing_alchemy" in hyphen


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("", "PERSISTENCE_MODULE is not set"),
        ("eventsourcing-alchemy", "set PERSISTENCE_MODULE=eventsourcing_alchemy"),
        ("eventsourcing.popo", "which is another persistence module: set"),
    ],
)
def test_a_view_says_what_is_missing(
    env: dict[str, str], module: str, problem: str
) -> None:
    with (
        pytest.raises(ConfigurationError, match=problem),
        Sales.opened("sales", {**env, "PERSISTENCE_MODULE": module}),
    ):
        pass


def test_a_view_is_opened_as_its_projection_is(env: dict[str, str]) -> None:
    with Sales.opened("sales", {**env, "SALES_SQLALCHEMY_POOL_SIZE": "1"}) as sales:
        assert sales.sold() == 0
        assert sales.name == "sales"
