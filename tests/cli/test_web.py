"""`web`, in a process of its own; and where `run --health-port` listens, as it does."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from subprocess import Popen
from urllib.request import urlopen

import pytest

from backends import Capability
from cli.command import Command
from cli.running import running
from cli.shop import DECLARED, Shop
from faults.missing import unavailable

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.once]

SERVING = [("web", "--port"), ("run", "sales", "--health-port")]


@contextmanager
def serving(command: Command, *arguments: str) -> Iterator[tuple[Popen[str], str]]:
    """The process, and the address that it told first of all."""
    with command.popen("web", "--port", "0", *arguments) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def errors_of(process: Popen[str]) -> str:
    """What it told until it ended, by a signal."""
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert process.stderr is not None
    return process.stderr.read()


def opened(url: str) -> HTTPResponse:
    answer: HTTPResponse = urlopen(url)  # noqa: S310 (one that the command has told)
    return answer


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture
def _ipv6() -> None:
    if not has_ipv6():
        unavailable("::1: switch on IPv6")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_tells_the_port_that_was_free(
    shop: Shop, command_process: Command, host: str
) -> None:
    shop.add("tea")
    with serving(command_process, "--host", host, "--allowed-host", host) as (it, url):
        assert url.startswith(f"http://{host}:")
        assert opened(url).status == 200
        assert errors_of(it) == ""


@pytest.mark.usefixtures("_ipv6")
def test_ipv6(shop: Shop, command_process: Command) -> None:
    shop.add("tea")
    with serving(command_process, "--host", "::1") as (process, url):
        assert url.startswith("http://[::1]:")
        assert opened(url).status == 200
        assert errors_of(process) == ""


@pytest.mark.usefixtures("_ipv6")
def test_ipv6_of_probes(shop: Shop, command_process: Command) -> None:
    command_process.declare(DECLARED)
    shop.add("tea")
    options = ("--health-port", "0", "--health-host", "::1")
    with running(command_process, "sales", *options) as run:
        port = run.waits_for(r"at \[::1\]:(\d+)")[1]
        assert urlopen(f"http://[::1]:{port}/healthz").status == 200


def test_warns_of_others(shop: Shop, command_process: Command) -> None:
    shop.add("tea")
    with serving(command_process, "--host", "0.0.0.0") as (process, url):  # noqa: S104
        address = url.removeprefix("http://")
        assert opened(url.replace("0.0.0.0", "127.0.0.1")).status == 200  # noqa: S104
        assert f"anyone who can reach {address} can read" in errors_of(process)


@pytest.mark.parametrize("arguments", SERVING, ids=" ".join)
def test_a_port_in_use(
    shop: Shop, command: Command, arguments: tuple[str, ...]
) -> None:
    """Is told before anything else, as wrong use."""
    shop.add("tea")
    command.declare(DECLARED)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command(*arguments, str(port), code=2)
    said = f"{arguments[-1]}: cannot listen at 127.0.0.1:{port}: Address already in use"
    assert result.stdout == ""
    assert said in result.stderr.replace("\n", " ")


@pytest.mark.parametrize("arguments", SERVING, ids=" ".join)
@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "203.0.113.9"])
def test_a_host_that_is_not_here(
    shop: Shop, command: Command, arguments: tuple[str, ...], host: str
) -> None:
    shop.add("tea")
    command.declare(DECLARED)
    option = arguments[-1].replace("port", "host")
    result = command(*arguments, "0", option, host, code=2)
    assert f"{arguments[-1]}: cannot listen at {host}:0: " in result.stderr
    assert result.stdout == ""


def test_ends_while_somebody_follows(shop: Shop, command_process: Command) -> None:
    """Without a traceback."""
    shop.add("tea")
    with (
        serving(command_process) as (process, url),
        opened(f"{url}/live?application=Shop&after=0") as stream,
    ):
        assert b"retry" in stream.readline()
        assert errors_of(process) == ""
