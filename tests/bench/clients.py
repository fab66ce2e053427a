"""Clients of a cluster that are to notice nothing: each in a thread of its own, counting what goes wrong."""

import base64
import http.client
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from activities.kubernetes.identity import server_tls
from nodes.v1.etcd import CLIENT_PORT
from nodes.v1.kubelet import KUBELET_PORT

RATE = 20.0
"""Requests a second of each client; there are half as many handshakes, over all endpoints in turn."""

TIMEOUT_S = 10.0
_PAIR = ("key", "certificate")


Endpoint = tuple[tuple[str, int], ssl.SSLContext]
"""Address, port, and what to shake hands with."""


class Clients:
    """Uses the cluster of a kubeconfig, and shakes hands with endpoints, made of the API's TLS context."""

    def __init__(
        self,
        kubeconfig: Path,
        endpoints: Callable[[ssl.SSLContext], Iterable[Endpoint]],
        rate: float = RATE,
        handshake_s: float = TIMEOUT_S,
    ) -> None:
        """Send ``rate`` requests a second; a handshake may take ``handshake_s``."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        parts = urlsplit(cluster["server"])
        self._api = (str(parts.hostname), parts.port or 443)
        self._tls = server_tls(base64.b64decode(cluster["certificate-authority-data"]).decode())
        pair = kubeconfig.with_suffix(".pem")
        pair.write_bytes(b"".join(base64.b64decode(user[f"client-{kind}-data"]) for kind in _PAIR))
        self._tls.load_cert_chain(pair)
        self._endpoints = list(endpoints(self._tls))
        self._rate = rate
        self._handshake_s = handshake_s
        self.requests = self.handshakes = 0
        self.failed_requests = self.failed_handshakes = self.watch_breaks = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        loops = (self._fresh, self._kept, self._watch, self._shake_hands)
        self._threads = [threading.Thread(target=loop, name=loop.__name__, daemon=True) for loop in loops]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(max(TIMEOUT_S, self._handshake_s) + 1)

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.failed_requests} failed; {self.handshakes} handshakes, "
            f"{self.failed_handshakes} failed; {self.watch_breaks} breaks of the watch"
        )

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self._api, timeout=TIMEOUT_S, context=self._tls)

    def _fresh(self) -> None:
        """Each request on a connection of its own."""

        def ask() -> None:
            connection = self._connect()
            try:
                _get(connection)
            finally:
                connection.close()

        self._repeat(self._rate, lambda: self._counted(ask))

    def _kept(self) -> None:
        """All requests on one connection; one that has to be opened again is a failure."""
        connection = self._connect()

        def ask() -> None:
            try:
                _get(connection)
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request connects again
                raise

        self._repeat(self._rate, lambda: self._counted(ask))
        connection.close()

    def _counted(self, ask: Callable[[], None]) -> None:
        self.requests += 1
        try:
            ask()
        except (OSError, http.client.HTTPException) as error:
            self.failed_requests += 1
            self._tell("request", error)

    def _watch(self) -> None:
        """Hold a watch; it may end when the bench does."""
        while not self._over.is_set():
            connection = self._connect()
            try:
                connection.request("GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=86400")
                connection.getresponse()
                self._await_end(connection.sock)
            except (OSError, http.client.HTTPException) as error:
                self._tell("watch", error)
            finally:
                connection.close()
            if not self._over.is_set():
                self.watch_breaks += 1
                self._over.wait(1)

    def _await_end(self, stream: socket.socket) -> None:
        """Return at the end of the answer (RFC 9112: last chunk), of the connection, or of the bench."""
        while not self._over.is_set():
            readable, _, _ = select.select([stream], [], [], 0.5)
            if readable and (not (told := stream.recv(2**16)) or told.endswith(b"0\r\n\r\n")):
                return

    def _shake_hands(self) -> None:
        number = 0

        def shake() -> None:
            nonlocal number
            (address, port), tls = self._endpoints[number % len(self._endpoints)]
            number += 1
            self.handshakes += 1
            try:
                with (
                    socket.create_connection((address, port), self._handshake_s) as plain,
                    tls.wrap_socket(plain, server_hostname=address),
                ):
                    pass
            except OSError as error:
                self.failed_handshakes += 1
                self._tell(f"handshake with {address}:{port}", error)

        self._repeat(self._rate / 2, shake)

    def _repeat(self, rate: float, act: Callable[[], None]) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            act()
            due = max(due + 1 / rate, time.monotonic() - 1)
            self._over.wait(max(0.0, due - time.monotonic()))

    def _tell(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {what}: {type(error).__name__}: {error}")


def _get(connection: http.client.HTTPSConnection) -> None:
    connection.request("GET", "/api/v1/namespaces/default")
    with connection.getresponse() as answer:
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {answer.status}")


def local_endpoints(machines: Path, api: ssl.SSLContext) -> Iterator[Endpoint]:
    """Yield each member of etcd and each kubelet, of machines in a folder of the provider ``local``."""
    for folder in sorted(document.parent for document in machines.glob("*/machine.json")):
        address = json.loads((folder / "machine.json").read_text())["address"]
        if folder.name.startswith("control-plane-"):
            pki = folder / "state" / "pki" / "current"
            tls = server_tls((pki / "etcd-ca.crt").read_text())
            name = pki / "kube-apiserver-etcd-client"
            tls.load_cert_chain(name.with_suffix(".crt"), name.with_suffix(".key"))
            yield (address, CLIENT_PORT), tls
        else:
            yield (address, KUBELET_PORT), api
