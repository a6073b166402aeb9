"""The server of the web page."""

from contextlib import suppress
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

PATIENCE = 5
"""Seconds for answers that are under way when the server is to end."""


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Who follows events would not go by themselves.
        app: Any = self.config.app
        app.state.is_ending = True
        super().handle_exit(sig, frame)


def serve(app: Any, listener: socket) -> None:
    """Serves the page until a signal comes.

    Args:
        app: the page, as `create_app()` returns it.
        listener: where to listen.
    """
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=PATIENCE
    )
    with suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listener])
