"""A client's connection through a proxy."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress

from faults.triggers import Trigger
from faults.wire import Wire

_SIZE = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """The client's end and the server's. All of it runs in the proxy's thread.

    Args:
        client: the connection that was accepted.
        wire: what the client speaks.
        triggers: of the proxy, to which others may be added.
        flowing: cleared while nothing is to be forwarded.
    """

    def __init__(
        self,
        client: socket.socket,
        wire: Wire,
        triggers: Sequence[Trigger],
        flowing: asyncio.Event,
    ) -> None:
        self._client = client
        self._wire = wire
        self._triggers = triggers
        self._flowing = flowing
        self._writers: list[StreamWriter] = []
        self._answer_fires: Trigger | None = None

    async def run(self, server: tuple[str, int]) -> None:
        """Forward until one of the two hangs up."""
        from_client, to_client = await asyncio.open_connection(sock=self._client)
        self._writers.append(to_client)
        try:
            await self._flowing.wait()
            from_server, to_server = await asyncio.open_connection(*server)
            self._writers.append(to_server)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._requests(from_client, to_server))
                pumps.create_task(self._answers(from_server, to_client))
        finally:
            for writer in self._writers:
                writer.close()

    def cut(self) -> None:
        """Close both connections; what was not yet forwarded is lost."""
        if not self._writers:
            self._client.close()
        for writer in self._writers:
            writer.transport.abort()

    def reset(self) -> None:
        """The same, as if both peers had crashed."""
        for writer in self._writers:
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.cut()

    async def _requests(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await self._read(reader):
            trigger = self._triggered(data)
            if trigger and trigger.when_answered:
                self._answer_fires = trigger
            elif trigger:
                trigger.fire()
                await self._flowing.wait()
            await _write(writer, data)
        writer.close()

    def _triggered(self, data: bytes) -> Trigger | None:
        for statement in self._wire.statements(data):
            for trigger in self._triggers:
                if trigger.takes(statement):
                    return trigger
        return None

    async def _answers(self, reader: StreamReader, writer: StreamWriter) -> None:
        answer = b""
        while data := await self._read(reader):
            answer += data
            if trigger := self._answer_fires:
                if not self._wire.is_complete(answer):
                    continue
                self._answer_fires = None
                trigger.fire()
                await self._flowing.wait()
            await _write(writer, answer)
            answer = b""
        writer.close()

    async def _read(self, reader: StreamReader) -> bytes:
        data = b""
        with suppress(ConnectionError):
            data = await reader.read(_SIZE)
        # Nobody hears either that the other one has hung up.
        await self._flowing.wait()
        return data


async def _write(writer: StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
