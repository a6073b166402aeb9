"""What the operating system knows and does about a driver's connection."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer

KEEPALIVE_IDLE = 30
"""Seconds of silence after which the peer is asked whether it is there."""

KEEPALIVE_INTERVAL = 10
KEEPALIVE_COUNT = 3

_LAST_DATA_SENT, _LAST_DATA_RECEIVED = 44, 52
"""Offsets in Linux's `struct tcp_info`; milliseconds since then."""


@contextmanager
def _duplicate(descriptor: int) -> Iterator[socket.socket]:
    # Not the driver's own, which would be closed with the object.
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        yield duplicate


def keep_alive(descriptor: int) -> None:
    """Lets TCP find out, within about a minute, that the peer is gone.

    Args:
        descriptor: of a socket; without effect if it is not one of TCP.
    """
    with _duplicate(descriptor) as duplicate:
        if duplicate.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
            ("TCP_KEEPCNT", KEEPALIVE_COUNT),
            ("TCP_USER_TIMEOUT", 1000 * KEEPALIVE_IDLE),
        ):
            # Not every system has every one.
            with suppress(AttributeError, OSError):
                option = getattr(socket, name)
                duplicate.setsockopt(socket.IPPROTO_TCP, option, seconds)


def quiet_seconds(descriptor: int) -> float:
    """Seconds since data was sent or received; infinite where that is not known."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return float("inf")
    try:
        with _duplicate(descriptor) as duplicate:
            info = duplicate.getsockopt(socket.IPPROTO_TCP, option, 104)
    except OSError:  # Not of TCP.
        return float("inf")
    sent, received = (
        int.from_bytes(info[offset : offset + 4], sys.byteorder)
        for offset in (_LAST_DATA_SENT, _LAST_DATA_RECEIVED)
    )
    return min(sent, received) / 1000


def shut_down(descriptor: int) -> None:
    """Makes whoever reads from the socket see its end."""
    with suppress(OSError), _duplicate(descriptor) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


@contextmanager
def answering(descriptor: Callable[[], int | None], seconds: float) -> Iterator[None]:
    """Shuts a socket down if the block takes too long.

    Args:
        descriptor: tells that of the socket; may raise if it is closed.
        seconds: for the block.
    """

    def end() -> None:
        # Asked only now: a descriptor may be another connection's by then.
        with suppress(Exception):
            current = descriptor()
            if current is not None:
                shut_down(current)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
