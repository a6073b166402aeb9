"""Everything public is importable from the package, also by the paths of before."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eventsourcing_alchemy

API = Path(__file__).parents[2] / "docs" / "reference" / "api.md"

EARLIER_PATHS = [
    ("migrate", "current", "current_revision"),
    ("migrate", "declared", "declared"),
    ("migrate", "include_name", "include_name"),
    ("migrate", "missing_tables", "missing_tables"),
    ("migrate", "upgrade", "upgrade"),
    ("subscriptions", "SQLAlchemySubscription", "SQLAlchemySubscription"),
    ("upserts", "Upsert", "Upsert"),
]


def test_api_page_lists_what_the_package_exports() -> None:
    found = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)", API.read_text(), re.M)
    assert sorted(found) == sorted(eventsourcing_alchemy.__all__)


@pytest.mark.parametrize("name", eventsourcing_alchemy.__all__)
def test_is_documented(name: str) -> None:
    found = getattr(eventsourcing_alchemy, name)
    assert found.__doc__


@pytest.mark.parametrize(("module", "name", "now"), EARLIER_PATHS)
def test_earlier_path_warns(module: str, name: str, now: str) -> None:
    found = importlib.import_module(f"eventsourcing_alchemy.{module}")
    with pytest.warns(DeprecationWarning, match=f"import {now} from"):
        assert getattr(found, name) is getattr(eventsourcing_alchemy, now)


def test_unknown_name_of_earlier_path() -> None:
    module = importlib.import_module("eventsourcing_alchemy.migrate")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_import_leaves_out_what_is_not_used_yet() -> None:
    program = "import sys, eventsourcing_alchemy; print(*sys.modules)"
    imported = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert not {"alembic", "psycopg", "pymysql", "sqlite3"} & set(imported.split())
