"""Asking the supervisor, over its unix socket, to start the machine's services."""

import http.client
import socket
import xmlrpc.client
from typing import Any
from xml.parsers.expat import ExpatError

from nodes.machine.errors import MachineError
from nodes.machine.machine import Machine

TIMEOUT_SECONDS = 10.0
ALREADY_STARTED = 60
"""supervisor.xmlrpc.Faults.ALREADY_STARTED, without that module's imports."""


def start(machine: Machine) -> None:
    """Start all services in one call, without waiting for them; those that run are left alone.

    Raises MachineError when the supervisor doesn't answer or refuses.
    """
    try:
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(machine.socket)) as server:
            calls = xmlrpc.client.MultiCall(server)
            for service in machine.services:
                calls.supervisor.startProcess(f"{machine.group}:{service}", False)
            answers = calls().results
    except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
        raise MachineError(f"the supervisor at {machine.socket} does not start services: {error}") from error
    for service, answer in zip(machine.services, answers, strict=True):
        if isinstance(answer, dict) and answer["faultCode"] != ALREADY_STARTED:
            raise MachineError(f"the supervisor does not start {service}: {answer['faultString']}")


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # as the base class does, so that closing the proxy closes it
        return connection


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)
