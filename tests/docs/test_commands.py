"""The page of commands lists those of the application, and nothing else."""

from __future__ import annotations

from docs.command_reference import MARK, PAGE, reference


def test_the_page_lists_the_commands() -> None:
    listed = PAGE.read_text(encoding="utf-8").partition(MARK)[2].lstrip()
    assert listed == reference(), "run: python tests/docs/command_reference.py"
