"""Processes that are started again when they die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from faults.report import inject
from processes import PRELOADED, clean
from soak.work import TELL_STACKS

PATIENCE = 15.0


class Post:
    """Somebody does this, always.

    Args:
        kind: for the report.
        work: is done when it returns.
    """

    def __init__(self, kind: str, work: Callable[[], None]) -> None:
        self.kind = kind
        self._work = work
        self._process: BaseProcess | None = None
        self._is_stuck = False

    @property
    def is_working(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def is_done(self) -> bool:
        return self._process is not None and self._process.exitcode == 0

    def start(self) -> None:
        self._process = clean.Process(target=self._work)
        self._process.start()

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.join()
        inject(f"{self.kind} killed")

    def stop(self) -> None:
        """Tell it to stop, and wait until it does; kill it if it does not."""
        assert self._process
        self._process.terminate()
        self._process.join(PATIENCE)
        if self.is_working:
            self._is_stuck = True
            os.kill(self._process.pid or 0, TELL_STACKS)
            self._process.join(1)
            self._process.kill()
            self._process.join()

    def error_kind(self) -> str:
        """What is wrong with a process that has ended by itself; empty if nothing."""
        if self._is_stuck:
            return f"a {self.kind} did not stop in {PATIENCE:g} s"
        code = self._process.exitcode if self._process else None
        if code in {None, 0, -signal.SIGKILL, -signal.SIGTERM}:
            return ""
        return f"a {self.kind} ended with {code}"

    def memory(self) -> int:
        """The most it had, in bytes; 0 if it is gone."""
        status = Path(f"/proc/{self._process.pid if self._process else 0}/status")
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return 0
        (peak, *_) = [line for line in lines if line.startswith("VmHWM")] or ["0 0"]
        return int(peak.split()[1]) * 1024


class Crew:
    """All posts, each of which has somebody from `with` on.

    Args:
        posts: to fill.

    Attributes:
        failures: what processes died of that nobody had killed.
        memory: the most that a process of each kind had, in bytes.
    """

    def __init__(self, posts: Iterable[Post]) -> None:
        self.posts = list(posts)
        self.failures: list[str] = []
        self.memory: dict[str, int] = {}

    def __enter__(self) -> Self:
        clean.set_forkserver_preload([*PRELOADED, "soak.work"])
        for post in self.posts:
            post.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for post in self.posts:
            post.stop()
            self._note(post)

    def tend(self) -> None:
        """Replace the dead."""
        for post in self.posts:
            peak = post.memory()
            self.memory[post.kind] = max(peak, self.memory.get(post.kind, 0))
            if not post.is_working and not post.is_done:
                self._note(post)
                post.start()

    @property
    def kinds(self) -> set[str]:
        """The kinds of posts."""
        return {post.kind for post in self.posts}

    def have_done(self, kind: str) -> bool:
        """Whether there is nothing left to do for this kind."""
        return all(post.is_done for post in self.posts if post.kind == kind)

    def kill(self, kind: str, random: Random) -> None:
        """Kill one of this kind, if anybody works."""
        posts = [post for post in self.posts if post.kind == kind and post.is_working]
        if posts:
            random.choice(posts).kill()

    def _note(self, post: Post) -> None:
        if fault := post.error_kind():
            self.failures.append(fault)
