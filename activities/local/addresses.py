"""Whether a machine's ports are free, and who holds them if not."""

import errno
import socket
from collections.abc import Iterable

import psutil

from api.errors import ErrorCode
from contracts.errors import StepError


def check_ports(address: str, ports: Iterable[int]) -> None:
    """Raise ADDRESS_IN_USE, naming the process, when something listens on one of ``ports`` of ``address``."""
    for port in ports:
        if not _is_free(address, port):
            raise StepError(ErrorCode.ADDRESS_IN_USE, f"{address}:{port} is taken by {_holder(address, port)}")


def _is_free(address: str, port: int) -> bool:
    """As Go's listeners, not disturbed by connections that are still being closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _holder(address: str, port: int) -> str:
    """Name the process; another user's can't be seen into."""
    everywhere = {address, "0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.laddr.ip in everywhere:
            if connection.pid is None:
                return "a process of another user"
            return _named(connection.pid)
    return "a process that can't be seen"


def _named(pid: int) -> str:
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}, which has just ended or can't be seen into"
