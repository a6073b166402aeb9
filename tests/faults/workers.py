"""What runs in processes of its own, until these are killed."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkServerContext
from multiprocessing.process import BaseProcess
from random import Random
from threading import Thread
from typing import Any, ClassVar

from eventsourcing.persistence import Tracking

from faults.chain import Linkable, Linking, running
from faults.journal import Journal
from processes import forking

LONGEST_PAUSE = 0.01
"""Seconds between two appends: runners have to keep up."""


Work = Callable[[Callable[[], None]], None]
"""Goes on until its process is killed; calls what it is given when it begins."""


class Victim:
    """A process that works, until it is ended.

    Args:
        work: what it does.
        context: makes the process.
    """

    def __init__(self, work: Work, context: ForkContext | ForkServerContext) -> None:
        self._news, news = context.Pipe(duplex=False)
        process: Callable[..., BaseProcess] = context.Process
        self._process = process(target=_report, args=(work, news))
        self._is_to_end = False
        with news:
            self._process.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    def wait_until_at_work(self) -> None:
        """Wait until it has begun; fail if it cannot."""
        assert self._news.poll(60), "it does not begin"
        self._raise(self._news.recv())

    def live(self, seconds: float) -> None:
        """Let it live for that long; fail if it does not."""
        if self._news.poll(seconds):
            self._raise(self._news.recv())

    def kill(self) -> None:
        """Kill it. None of its code runs any more."""
        self._process.kill()
        self._process.join()
        self._news.close()

    def stop(self) -> None:
        """Tell it to end in order, without waiting."""
        if not self._is_to_end:
            self._is_to_end = True
            self._process.terminate()

    def close(self) -> None:
        """Wait until it has ended; fail if that was not in order."""
        self.stop()
        try:
            with suppress(EOFError):
                while True:
                    assert self._news.poll(60), "it does not end"
                    self._raise(self._news.recv())
        finally:
            self.kill()

    def _raise(self, error: str | None) -> None:
        assert error is None, error


def _report(work: Work, news: Connection) -> None:
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        work(lambda: news.send(None))
    except BaseException:
        news.send(traceback.format_exc())


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def torment(work: Work, times: int, longest: float, seed: int) -> int:
    """Have something done again and again, each time until the process is killed.

    Args:
        work: to be done.
        times: how many processes to kill.
        longest: seconds that one lives at the most, once it has begun.
        seed: of the moments. One in four is before, or soon after, it begins.

    Returns:
        How many were killed.
    """
    random = Random(seed)  # noqa: S311
    for _ in range(times):
        victim = Victim(work, forking)
        try:
            if random.random() < 0.75:
                victim.wait_until_at_work()
            victim.live(random.uniform(0, longest))
        finally:
            victim.kill()
    return times


class Journaling(Linking):
    """Notes each attempt to process an event, before it is made."""

    name = Linking.name
    journal: ClassVar[Journal]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.journal.note(os.getpid(), tracking.notification_id)
        super().process_event(domain_event, tracking)


def write(
    env: Mapping[str, str],
    acknowledged: Journal,
    largest: int,
    application_class: Linkable,
    begun: Callable[[], None],
) -> None:
    """Add links, `largest` at a time at the most; note what was acknowledged."""
    random = Random()  # noqa: S311
    with application_class(dict(env)) as links:
        begun()
        while True:
            for link, position in links.add(random.randint(1, largest)).items():
                acknowledged.note(os.getpid(), link, position)
            time.sleep(random.uniform(0, LONGEST_PAUSE))


def run(
    env: Mapping[str, str],
    attempts: Journal,
    lease_duration: float | None,
    application_class: Linkable,
    begun: Callable[[], None],
) -> None:
    """Process events until SIGTERM; note attempts."""
    Journaling.journal = attempts
    with running(env, Journaling, lease_duration, application_class) as runner:
        signal.signal(signal.SIGTERM, lambda *_: runner.stop())
        begun()
        runner.run_forever()
