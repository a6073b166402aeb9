"""Everything public is importable from the package, also by the paths of before."""

from __future__ import annotations

import copy
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eventsourcing_alchemy
from eventsourcing_alchemy import Discrepancy, VerificationError

PUBLIC = eventsourcing_alchemy.__all__
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
    assert sorted(found) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_is_documented(name: str) -> None:
    found = getattr(eventsourcing_alchemy, name)
    assert found.__doc__


def exceptions() -> list[BaseException]:
    """One of each that is public."""
    found = [getattr(eventsourcing_alchemy, name) for name in PUBLIC]
    discrepancies = [Discrepancy("Application", 1, "is lost")]
    return [
        VerificationError(discrepancies, are_all=False)
        if each is VerificationError
        else each("a text")
        for each in found
        if isinstance(each, type) and issubclass(each, BaseException)
    ]


@pytest.mark.parametrize("error", exceptions(), ids=lambda error: type(error).__name__)
def test_exception_is_raised_in_another_process(error: BaseException) -> None:
    """A pool of processes hangs where one cannot be pickled."""
    for copied in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):  # noqa: S301
        assert type(copied) is type(error)
        assert str(copied) == str(error)
        assert vars(copied) == vars(error)


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
