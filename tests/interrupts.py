"""Interrupts a thread at any point at which the interpreter may do so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dis import opname
from threading import Thread
from types import FrameType
from typing import Any

_CHECKS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}
"""After these, it looks for signals, and for exceptions set by other threads."""


class Interrupted:
    """Raises KeyboardInterrupt in the thread that it traces, once.

    Args:
        point: how many points to let pass before.
        files: of the code to interrupt.

    Attributes:
        function: that was interrupted; None if there were fewer points.
    """

    def __init__(self, point: int, files: Collection[str]) -> None:
        self.function: str | None = None
        self._left = point
        self._files = files
        self._looks: set[FrameType] = set()

    def __call__(self, frame: FrameType, kind: str, _: object) -> Any:
        if self.function or frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        if kind == "exception":
            self._looks.discard(frame)
        elif kind == "opcode":
            self._step(frame)
        return self

    def _step(self, frame: FrameType) -> None:
        if frame in self._looks:
            self._looks.discard(frame)
            self._left -= 1
            if self._left < 0:
                self._looks.clear()
                self.function = frame.f_code.co_name
                raise KeyboardInterrupt
        if opname[frame.f_code.co_code[frame.f_lasti]] in _CHECKS:
            self._looks.add(frame)


def interrupted(
    call: Callable[[], object], point: int, files: Collection[str]
) -> str | None:
    """Call a function in a thread that is interrupted at a point.

    Returns:
        The name of the function that was interrupted; None if it ended before.
    """
    tracer = Interrupted(point, files)

    def run() -> None:
        sys.settrace(tracer)
        try:
            with suppress(KeyboardInterrupt):
                call()
        finally:
            sys.settrace(None)

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"hangs, interrupted in {tracer.function}()"
    return tracer.function
