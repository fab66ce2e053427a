"""Which ports the local stack listens on, and who else has them."""

import random
import socket
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psutil

from deploy.stack.errors import StackError
from deploy.stack.model import LOOPBACK, Ports, Stack, description

FALLBACK = range(20000, 30000)
"""Where a port is looked for when the usual one is taken."""

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose() -> Ports:
    """Return a free port for each purpose: the usual one if it is free, else one from ``FALLBACK``.

    Preferably none that the kernel gives to outgoing connections (``ip_local_port_range``, see ip(7)): it might be
    in use by one of those at the next start.
    """
    candidates = [port for port in FALLBACK if port not in _ephemeral()] or list(FALLBACK)
    random.shuffle(candidates)
    usual = Ports().model_dump()
    rest = iter(port for port in candidates if port not in usual.values() and is_free(port))
    chosen = {name: port if is_free(port) else next(rest, None) for name, port in usual.items()}
    if None in chosen.values():
        raise StackError(
            f"No port between {FALLBACK.start} and {FALLBACK.stop - 1} is free.",
            "Stop some of the programs that listen there and run `just up` again.",
        )
    return Ports.model_validate(chosen)


def is_free(port: int) -> bool:
    """Return whether a server could listen on ``port`` of 127.0.0.1 now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def check(stack: Stack, service: str, purposes: Iterable[str]) -> None:
    """StackError when a port of ``service``, which does not run, is taken; it names port, process and the way out.

    ``purposes`` are fields of Ports.
    """
    for purpose in purposes:
        port: int = getattr(stack.ports, purpose)
        if not is_free(port):
            raise StackError(
                f"Port {port} on {LOOPBACK}, where {service} listens, is taken by {_holder(port)}.",
                "Stop that process and run `just up` again. To have other ports chosen instead: `just down`, "
                f"delete {description(stack.state)}, `just up`.",
            )


def _holder(port: int) -> str:
    for connection in psutil.net_connections(kind="tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            return f"{_name(connection.pid)} (process {connection.pid})"
    return "a process of another user"


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process that has just ended"


def _ephemeral() -> range:
    first, last = _EPHEMERAL.read_text().split()
    return range(int(first), int(last) + 1)
