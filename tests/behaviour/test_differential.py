"""Views of all styles come out the same, in batches of any size and one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from backends import Backend, Capability
from behaviour.differential import tables
from behaviour.differential.comparison import Comparison
from behaviour.differential.search import Run, finding, smallest
from behaviour.differential.styles import styles
from eventsourcing_alchemy.runners import batching
from observations import Observation

pytestmark = [pytest.mark.faults, pytest.mark.needs(Capability.SHARED)]

RUNS = (
    Run(1, Observation.NOBODY),
    Run(1, Observation.ECHO),
    Run(7, Observation.NOBODY),
    Run(7, Observation.LISTENER_OF_CORE),
    Run(500, Observation.NOBODY),
    Run(500, Observation.LISTENER_OF_CURSORS),
)


@pytest.fixture
def comparison(
    backend: Backend, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Comparison]:
    # On a slow machine, too.
    monkeypatch.setattr(batching, "LONGEST_BATCH", 60.0)
    # Threads of an event's own wait for what its batch has locked.
    env["SQLALCHEMY_LOCK_TIMEOUT"] = "0.1"
    has_schemas = Capability.SCHEMAS in backend.capabilities
    with closing(Comparison(env, [tables.elsewhere] if has_schemas else [])) as made:
        yield made


@pytest.mark.parametrize("seed", [1, 2])
def test_outcome_is_the_same(
    backend: Backend, comparison: Comparison, seed: int
) -> None:
    for style in styles(seed, backend.capabilities):
        for run in RUNS:
            found = finding(comparison, style, run)
            assert found is None, f"Seed {seed}\n{smallest(comparison, found)}"
