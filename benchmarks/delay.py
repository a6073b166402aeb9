"""``python -m benchmarks.delay HOST PORT``: a server that is 1 ms away.

A proxy that passes on what it gets half a millisecond later, in both directions. It
prints its own port.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from time import perf_counter, sleep

from benchmarks.jobs import Address

ONE_WAY = 0.0005
"""Seconds."""

Delayed = SimpleQueue[tuple[float, bytes]]


@contextmanager
def far_away(address: Address) -> Iterator[Address]:
    """The same server, through the proxy, in the block."""
    command = [sys.executable, "-m", "benchmarks.delay", address.host]
    with subprocess.Popen(  # noqa: S603
        [*command, str(address.port)], stdout=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stdout  # noqa: S101
        try:
            yield replace(address, port=int(proxy.stdout.readline()))
        finally:
            proxy.terminate()


def main(host: str, port: int) -> None:
    """Serves until it is terminated."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            upstream = socket.create_connection((host, port))
            for source, target in ((client, upstream), (upstream, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                delayed: Delayed = SimpleQueue()
                Thread(target=_receive, args=(source, delayed), daemon=True).start()
                Thread(target=_send, args=(target, delayed), daemon=True).start()


def _receive(source: socket.socket, delayed: Delayed) -> None:
    data = b"begin"
    while data:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        delayed.put((perf_counter() + ONE_WAY, data))


def _send(target: socket.socket, delayed: Delayed) -> None:
    while True:
        due, data = delayed.get()
        sleep(max(0.0, due - perf_counter()))
        if not data:
            break
        with suppress(OSError):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
