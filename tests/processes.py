"""Runs functions in processes of their own, at the same time."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar, cast

import plain  # noqa: F401 (registers its dialect, in each process)

T = TypeVar("T")

clean = multiprocessing.get_context("forkserver")
forking = multiprocessing.get_context("fork")

PRELOADED = ["eventsourcing_alchemy", "psycopg", "pymysql", "pytest"]
"""What clean processes need not import again, each."""


def barrier(parties: int) -> Barrier:
    """For clean processes that are to do something at one moment."""
    return clean.Barrier(parties, timeout=60)


def in_processes(calls: Sequence[Callable[[], T]], *, timeout: float = 90) -> list[T]:
    """Run each call in a process of its own, that knows nothing of this one.

    Returns their results, in order. The first failure fails the test; what still
    runs then is killed.
    """
    clean.set_forkserver_preload(PRELOADED)
    return _run_all(clean.Process, calls, timeout)


def in_forks(calls: Sequence[Callable[[], T]], *, timeout: float = 90) -> list[T]:
    """The same in forks of this process, which inherit what it has."""
    return _run_all(forking.Process, calls, timeout)


def _run_all(
    process_class: Callable[..., BaseProcess],
    calls: Sequence[Callable[[], T]],
    timeout: float,
) -> list[T]:
    deadline = time.monotonic() + timeout
    processes = []
    pending: dict[Connection, int] = {}
    results: dict[int, T] = {}
    with ExitStack() as stack:
        for number, call in enumerate(calls):
            receiver, sender = clean.Pipe(duplex=False)
            process = process_class(target=_run, args=(call, sender))
            with sender:
                process.start()
            processes.append(process)
            stack.enter_context(receiver)
            stack.callback(process.join)
            stack.callback(process.kill)
            pending[receiver] = number
        while pending:
            ready = wait(list(pending), max(0, deadline - time.monotonic()))
            assert ready, f"{len(pending)} processes did not end in {timeout} s"
            for receiver in cast("list[Connection]", ready):
                results[pending.pop(receiver)] = _result(receiver)
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
            assert process.exitcode == 0, f"a process ended with {process.exitcode}"
    return [results[number] for number in range(len(calls))]


def _run(call: Callable[[], object], sender: Connection) -> None:
    with sender:
        try:
            sender.send((call(), None))
        except BaseException:
            sender.send((None, traceback.format_exc()))


def _result(receiver: Connection) -> Any:
    try:
        result, error = receiver.recv()
    except EOFError:
        result, error = None, "it died"
    assert error is None, f"a process failed: {error}"
    return result
