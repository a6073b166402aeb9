"""A proxy that makes real outages."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from sqlalchemy import URL, make_url

from faults.links import Link
from faults.ports import HOST, ReservedPort
from faults.report import inject
from faults.triggers import Trigger
from faults.wire import wire_of

_PATIENCE = 30.0


class Proxy:
    """Stands between clients and a database server, at one address throughout.

    It forwards, from `with` on, until there is a fault. What a method says is done when
    it returns. Threads may call them at any time, and so may triggers.

    Args:
        url: of the server. It must say the port.

    Attributes:
        url: the same database through the proxy, not encrypted.
    """

    def __init__(self, url: str | URL) -> None:
        server = make_url(url)
        assert server.host, "there is no host to stand before"
        assert server.port, "there is no port to stand before"
        self._server = server.host, server.port
        self._wire = wire_of(server)
        self._port = ReservedPort()
        through = server.set(host=HOST, port=self._port.number)
        through = through.update_query_dict(self._wire.readable)
        self.url = through.render_as_string(hide_password=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._flowing = asyncio.Event()
        self._listening: list[socket.socket] = []
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._triggers: list[Trigger] = []
        self._occasion = ""
        self._errors: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._port.close()
        if self._errors and error is None:
            raise ExceptionGroup("in the proxy", self._errors)

    def cut(self) -> None:
        """Close all connections. Clients can connect again."""
        self._inject("cut", self._drop)

    def reset(self) -> None:
        """Reset all connections. Clients can connect again."""
        self._inject("reset", partial(self._drop, Link.reset))

    def stall(self) -> None:
        """Keep connections, accept others, and forward nothing until `heal()`.

        Nobody hears either that the other one has hung up. Nothing is lost by healing.
        """
        self._inject("stall", self._flowing.clear)

    def refuse(self) -> None:
        """Close all connections, and refuse others until `heal()`."""
        self._inject("refuse", self._close_door, self._drop)

    def black_hole(self) -> None:
        """Do as `stall()` does, but do not even answer to who connects."""
        self._inject("black hole", self._flowing.clear, self._block_door)

    def heal(self) -> None:
        """Forward again, first what was held."""
        self._do(self._close_door, self._open_door, self._flowing.set)

    def when_client_sends(
        self,
        pattern: bytes | re.Pattern[bytes],
        then: Callable[[], object],
        *,
        times: int = 1,
    ) -> Trigger:
        """Do something before the server hears a statement.

        With `cut`, `reset` or `refuse` it never does; with `stall` or `black_hole` it
        does after `heal()`.

        Args:
            pattern: what to find in the statement, prepared or not.
            then: a fault, or anything else. Nothing is forwarded before it returns, in
                the proxy's thread; what it raises is raised at the end of the proxy.
            times: for how many statements to do it.
        """
        then = partial(self._fire, " on a request", then)
        return self._add(pattern, then, when_answered=False, times=times)

    def after_server_answers(
        self,
        pattern: bytes | re.Pattern[bytes],
        then: Callable[[], object],
        *,
        times: int = 1,
    ) -> Trigger:
        """Do the same when the server has done a statement, before the client hears.

        With `cut`, `reset` or `refuse` it never does: to it, the outcome of a commit is
        unknown; with `stall` or `black_hole` it does after `heal()`.
        """
        then = partial(self._fire, " on an answer", then)
        return self._add(pattern, then, when_answered=True, times=times)

    def _add(
        self,
        pattern: bytes | re.Pattern[bytes],
        then: Callable[[], object],
        *,
        when_answered: bool,
        times: int,
    ) -> Trigger:
        if isinstance(pattern, bytes):
            pattern = re.compile(re.escape(pattern))
        trigger = Trigger(pattern, then, when_answered, times)
        self._triggers.append(trigger)
        return trigger

    def _fire(self, occasion: str, then: Callable[[], object]) -> None:
        self._occasion = occasion
        try:
            then()
        finally:
            self._occasion = ""

    def _inject(self, kind: str, *steps: Callable[[], None]) -> None:
        self._do(*steps)
        inject(kind + self._occasion)

    def _do(self, *steps: Callable[[], None]) -> None:
        if threading.current_thread() is self._thread:
            for step in steps:
                step()
        else:
            done = asyncio.run_coroutine_threadsafe(self._settle(steps), self._loop)
            done.result(_PATIENCE)

    async def _settle(self, steps: tuple[Callable[[], None], ...]) -> None:
        self._do(*steps)
        # What is aborted is closed a moment later.
        await asyncio.sleep(0)

    async def _end(self) -> None:
        self._do(self._close_door, self._drop)
        await asyncio.gather(*self._links.values(), return_exceptions=True)

    def _open_door(self) -> None:
        listener = self._port.listen()
        self._listening.append(listener)
        self._loop.add_reader(listener, self._accept, listener)

    def _block_door(self) -> None:
        self._close_door()
        self._listening.append(self._port.listen(backlog=0))
        # Whoever comes next is not answered while this one is not accepted.
        first = socket.create_connection((HOST, self._port.number))
        self._listening.append(first)

    def _close_door(self) -> None:
        for each in self._listening:
            self._loop.remove_reader(each)
            each.close()
        self._listening.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            client, _ = listener.accept()
            client.setblocking(False)
            link = Link(client, self._wire(), self._triggers, self._flowing)
            task = self._loop.create_task(self._serve(link))
            self._links[link] = task
            task.add_done_callback(lambda _: self._links.pop(link))

    async def _serve(self, link: Link) -> None:
        try:
            # That the server is away is heard by the client, whose connection ends.
            with suppress(ConnectionError):
                await link.run(self._server)
        except Exception as error:
            self._errors.append(error)

    def _drop(self, how: Callable[[Link], None] = Link.cut) -> None:
        for link, task in self._links.items():
            how(link)
            task.cancel()
