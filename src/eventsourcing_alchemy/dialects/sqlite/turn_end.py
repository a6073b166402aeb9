"""Waking the process that waits for another one's turn to end."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from sys import platform
from time import sleep


class TurnEnd:
    """A datagram from the process that ends its turn to the first one in the queue.

    It goes to an address of Linux's abstract namespace, so there is no file to clean
    up. It is a hint: elsewhere, and where the processes do not share a network
    namespace, nobody hears of it, and looks more often.

    Args:
        file: the file of the queue, which gives its name to the address.
    """

    def __init__(self, file: int) -> None:
        found = os.fstat(file)
        self._address = f"\0eventsourcing-alchemy-{found.st_dev}-{found.st_ino}"
        self._socket: socket.socket | None = None

    def announce(self) -> None:
        """Wakes the process that listens, if one does."""
        with suppress(OSError), _datagram_socket() as sending:
            sending.sendto(b"", self._address)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hears of it in the block, from when `listen()` is called."""
        try:
            yield
        finally:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def listen(self) -> None:
        """Hears of it, if that is possible, and nobody else does."""
        with suppress(OSError):
            listening = _datagram_socket()
            try:
                listening.bind(self._address)
            except OSError:
                listening.close()
            else:
                self._socket = listening

    def wait(self, seconds: float, otherwise: float) -> bool:
        """Waits until the turn ends.

        Args:
            seconds: the maximum time to wait.
            otherwise: the same, where nobody could tell of the end.

        Returns:
            Whether somebody told of it.
        """
        if self._socket is None:
            sleep(otherwise)
            return False
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1)
        except OSError:
            return False
        return True


def _datagram_socket() -> socket.socket:
    if platform != "linux":
        raise OSError("There is no abstract namespace")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)  # A queue that is full has waked the first one already.
    return made
