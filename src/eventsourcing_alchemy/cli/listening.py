"""Where commands that serve something listen."""

import socket

from eventsourcing_alchemy.errors import ConfigurationError


def listener_at(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens there already, and is yours to close.

    Args:
        host: the name or address to listen at, of IPv4 or IPv6.
        port: 0 for any that is free.
        option: by which the port was given.

    Raises:
        ConfigurationError: if nobody can listen there.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        # Without the address, which Python repeats there.
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        msg = f"{option}: cannot listen at {address_of(host, port)}: {reason}"
        raise ConfigurationError(msg) from error


def address_of(host: str, port: int) -> str:
    """Host and port as in URLs, where an address of IPv6 is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
