"""`events`, `aggregate` and `topics`."""

from __future__ import annotations

import json
import re
import signal
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from backends import Capability
from cli.command import Command
from cli.shop import Shop
from eventsourcing_alchemy import SQLAlchemyFactory
from factories import OpenFactory

pytestmark = pytest.mark.needs(Capability.SHARED)


def sold(shop: Shop, *counts: int) -> UUID:
    product_id = shop.add("book")
    for count in counts:
        shop.sell(product_id, count)
    return product_id


def positions(document: dict[str, list[dict[str, int]]]) -> list[int]:
    return [each["position"] for each in document["events"]]


def test_pages(shop: Shop, command_process: Command) -> None:
    product_id = sold(shop, *range(1, 30))
    document = command_process.json("events", "Shop")
    assert positions(document) == list(range(11, 31))
    assert document["last_position"] == 30
    last = document["events"][-1]
    assert last["aggregate_id"] == str(product_id)
    assert last["topic"] == "cli.shop:Product.Sold"
    assert last["state"]["value"]["count"] == 29
    assert last["recorded_at"].endswith("+00:00")


def test_filters(shop: Shop, command: Command) -> None:
    first, other = sold(shop, 1, 2), sold(shop, 3)
    after = command.json("events", "Shop", "--after", "1", "--limit", "2")
    assert positions(after) == [2, 3]
    added = command.json("events", "Shop", "--topic", "cli.shop:Product.Added")
    assert positions(added) == [1, 4]
    of_one = ("--aggregate", str(other))
    assert positions(command.json("events", "Shop", *of_one)) == [4, 5]
    assert positions(command.json("events", "Shop", *of_one, "--after", "4")) == [5]
    aggregate = command.json("aggregate", "Shop", str(first))
    assert positions(aggregate) == [1, 2, 3]
    assert aggregate["snapshots"] == []
    command("events", "Shop", *of_one, "--follow", code=2)
    assert "'Shop'" in command("events", "Sop", code=2).stderr
    assert "no aggregate" in command("aggregate", "Shop", "x", code=2).stderr


def test_hostile_states(factory: SQLAlchemyFactory, command: Command) -> None:
    state = json.dumps({"a": "[red]\x1b]0;x\x07\u2028"}).encode()
    deep = b"[" * 900 + b"]" * 900
    states = [state, b"\x00\x1b", deep]
    factory.application_recorder().insert_events(
        [StoredEvent(uuid4(), 1, "[/x]\x9b", each) for each in states]
    )
    shown = command("events", "Application").stdout
    assert r"[/x]\x9b" in shown
    assert "[red]" in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", shown)
    document = command.json("events", "Application")
    assert document["events"][0]["state"]["value"] == json.loads(state)
    assert document["events"][2]["state"]["size"] == len(deep)


def test_follow(shop: Shop, command_process: Command) -> None:
    command = command_process
    sold(shop, 1)
    with command.popen("events", "Shop", "--follow", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        sold(shop)
        seen.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert [each["event"]["position"] for each in seen] == [1, 2, 3]


def test_topics(
    shop: Shop, open_factory: OpenFactory, command_process: Command
) -> None:
    command = command_process
    sold(shop, 1, 2)
    (added, more) = command.json("topics", "Shop")["topics"]
    assert added == {
        "topic": "cli.shop:Product.Added",
        "events": 1,
        "first": 1,
        "last": 1,
        "problem": None,
    }
    assert (more["events"], more["first"], more["last"]) == (2, 2, 3)
    recorder = open_factory("Shop").application_recorder()
    recorder.insert_events([StoredEvent(uuid4(), 1, "nowhere:Gone", b"{}")])
    document = command.json("topics", "Shop", code=1)
    assert "nowhere" in document["topics"][-1]["problem"]
    assert "nowhere:Gone" in command("topics", "Shop", code=1).stdout


@pytest.mark.needs(Capability.ANY_VALUE)
@pytest.mark.parametrize(
    ("statement", "commands"),
    [
        ("es_events SET state = 'text'", ["events Shop", "aggregate Shop {}"]),
        ("es_events SET recorded_at = 'today'", ["events Shop", "status"]),
        ("es_events SET topic = x'ff' WHERE notification_id = 2", ["topics Shop"]),
        (
            "es_applications SET last_notification_id = 'a'",
            ["events Shop", "topics Shop", "status"],
        ),
    ],
)
def test_values_of_wrong_types(
    shop: Shop, command: Command, statement: str, commands: list[str]
) -> None:
    product_id = sold(shop, 1, 2)
    factory: Any = shop.factory
    with factory.datastore.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {statement}")
    for each in commands:
        result = command(*each.format(product_id).split(), code=2)
        assert re.match("Error: 'Shop'.* is (text|bytes), not ", result.stderr)
        assert result.stderr.count("\n") == 1
    assert "'verify' names all" in result.stderr
    assert " not " in command("verify", code=1).stdout
    command("doctor", code=1 if "last" in statement or "today" in statement else 0)
