"""Ports that stay ours while nobody listens there."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


class ReservedPort:
    """A port of this machine that nobody is given by chance, until it is closed.

    Who knows it can listen there, as often as they like. While they do not, to connect
    is refused: not even an outgoing connection, which may get any free port, is found
    there.

    Attributes:
        number: of the port.
    """

    def __init__(self) -> None:
        self._reservation = _bound(0)
        self.number: int = self._reservation.getsockname()[1]

    def listen(self, *, backlog: int = 128) -> socket.socket:
        """Listen on it. The socket does not block."""
        listener = _bound(self.number)
        listener.setblocking(False)
        listener.listen(backlog)
        return listener

    def close(self) -> None:
        """Let anybody have the port."""
        self._reservation.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    # Linux lets sockets with this option share a port while only one of them listens.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound
