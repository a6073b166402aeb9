"""Variables of the library that cannot be used: named in a line, without traceback."""

from __future__ import annotations

import pytest

from backends import Capability
from cli.command import Command
from cli.shop import DECLARED, Shop

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.once]

OPENING = [
    ("run", "sales"),
    ("dead-letters", "retry", "sales", "--all"),
    ("rebuild", "sales"),
    ("reset", "sales", "--yes"),
]
"""Commands that open an application, and a projection of it."""

EVENT_SOURCED = DECLARED.replace("SalesProjection", "CopyOfSales")

OURS = "PERSISTENCE_MODULE=eventsourcing_alchemy"

WRONG = [
    ({"PERSISTENCE_MODULE": "eventsourcing.sqlite"}, f"set {OURS}"),
    ({"PERSISTENCE_MODULE": "nosuch"}, "PERSISTENCE_MODULE: Failed to resolve topic"),
    ({"PERSISTENCE_MODULE": ":nosuch"}, "PERSISTENCE_MODULE: Empty module name"),
    ({"PERSISTENCE_MODULE": "."}, "PERSISTENCE_MODULE: the 'package' argument"),
    ({"PERSISTENCE_MODULE": "this_is.broken"}, "PERSISTENCE_MODULE: invalid syntax"),
    ({"SALES_PERSISTENCE_MODULE": "eventsourcing.popo"}, f"set SALES_{OURS}"),
    ({"SHOP_PERSISTENCE_MODULE": "nosuch"}, "persistence module topic: 'nosuch'"),
    (
        {"CIPHER_TOPIC": "eventsourcing.cipher:AESCipher"},
        "CIPHER_KEY: OSError: 'CIPHER_KEY' not in env",
    ),
    ({"CIPHER_KEY": "c2hvcnQ="}, "CIPHER_KEY: ValueError: Invalid key size: 5"),
    ({"CIPHER_TOPIC": "nosuch"}, "CIPHER_TOPIC: eventsourcing.utils.TopicError:"),
    ({"SHOP_COMPRESSOR_TOPIC": "nosuch"}, "SHOP_COMPRESSOR_TOPIC: eventsourcing"),
    ({"TRANSCODER_TOPIC": "q"}, "TRANSCODER_TOPIC: eventsourcing.utils.TopicError"),
    ({"TRANSCODER_TOPIC": "json"}, "TRANSCODER_TOPIC: TypeError: 'module' object"),
    ({"MAPPER_TOPIC": "json:JSONEncoder"}, "MAPPER_TOPIC: AssertionError: <class"),
    (
        {"IS_SNAPSHOTTING_ENABLED": "maybe"},
        "IS_SNAPSHOTTING_ENABLED: ValueError: invalid truth value 'maybe'",
    ),
    ({"AGGREGATE_CACHE_MAXSIZE": "x"}, "AGGREGATE_CACHE_MAXSIZE: ValueError: invalid"),
    (
        {"SHOP_DEEPCOPY_FROM_AGGREGATE_CACHE": "x"},
        "SHOP_DEEPCOPY_FROM_AGGREGATE_CACHE: ValueError: invalid truth value 'x'",
    ),
]


@pytest.mark.parametrize("arguments", OPENING, ids=" ".join)
@pytest.mark.parametrize(("variables", "told"), WRONG)
def test_of_what_is_opened(
    command: Command,
    shop: Shop,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    told: str,
) -> None:
    shop.add("tea")
    file = command.directory / "other.db"
    (command.directory / "this_is").mkdir()
    (command.directory / "this_is" / "broken.py").write_text("def:\n")
    command.declare(DECLARED)
    command.variables |= {"SQLITE_DBNAME": str(file), **variables}
    result = command(*arguments, code=2)
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not file.exists()


@pytest.mark.parametrize("arguments", OPENING[:2], ids=" ".join)
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"COPY_OF_SALES_PERSISTENCE_MODULE": "eventsourcing.popo"}, OURS),
        ({"COPY_OF_SALES_COMPRESSOR_TOPIC": "q"}, "COPY_OF_SALES_COMPRESSOR_TOPIC: "),
    ],
)
def test_of_an_event_sourced_projection(
    command: Command,
    shop: Shop,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    told: str,
) -> None:
    shop.add("tea")
    command.declare(EVENT_SOURCED)
    command.variables |= variables
    assert told in command(*arguments, code=2).stderr
