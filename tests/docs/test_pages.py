"""Every page does what it says, on every database."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from eventsourcing.utils import clear_topic_cache

from backends import Backend, Capability
from docs.pages import PAGES, ROOT, blocks

TUTORIAL = ROOT / "docs" / "tutorial" / "index.md"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
CAPABILITIES = {*Capability, "network"}


@pytest.fixture
def page_module(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The module of a page, in a folder of its own, with the files of the tutorial."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    commands = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    handlers = {each: signal.getsignal(each) for each in SIGNALS}
    sys.modules["page"] = module = ModuleType("page")
    yield module
    module.__dict__.clear()
    for name, each in list(sys.modules.items()):
        if each is module or str(tmp_path) in str(getattr(each, "__file__", "")):
            del sys.modules[name]
    clear_topic_cache()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize(
    "page",
    [each for each in PAGES if any(block.runs for block in blocks(each))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page(
    page: Path,
    backend: Backend,
    page_module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [block for block in blocks(TUTORIAL) if block.file is not None]
    for block in [*files, *blocks(page)]:
        if block.runs and block.needs <= backend.capabilities:
            block.run(page_module.__dict__, monkeypatch.setenv)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_escapes(page: Path) -> None:
    found = list(blocks(page))
    fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(found)
    assert not {need for block in found for need in block.needs} - CAPABILITIES


def test_few_blocks_are_left_out_everywhere() -> None:
    everything = (block for page in PAGES for block in blocks(page))
    assert sum("network" in block.needs for block in everything) <= 5
