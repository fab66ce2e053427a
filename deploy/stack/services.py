"""The services of the local stack in one table: what runs, where it listens, how it is known to work."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.common import SearchAttributeKey

from contracts.workflows import SEARCH_ATTRIBUTES
from deploy.binaries import BinariesError, Part, ensure, release_parts, tool
from deploy.paths import cache_dir
from deploy.stack import hostcluster, hostpki, openbao, probes
from deploy.stack.errors import StackError
from deploy.stack.model import LOOPBACK, Stack
from planning.releases import load_releases

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """One service: its command, the fields of Ports that it listens on, and its probe.

    ``after`` names the services that must work before it is started; ``prepare`` is called before that, while it
    does not run. As soon as ``answers`` holds (``probe`` if there is none), ``settle`` brings it to what ``probe``
    asks for. Services of a higher ``priority`` are stopped before those of a lower one; each is killed when it has
    not ended within ``stop_s`` seconds.
    """

    name: str
    command: tuple[str, ...]
    address: str
    ports: tuple[str, ...]
    probe: Callable[[], bool]
    after: tuple[str, ...] = ()
    prepare: Callable[[], None] = lambda: None
    answers: Callable[[], bool] | None = None
    settle: Callable[[], None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)
    priority: int = 100
    stop_s: int = 5


COMMANDS = ("temporal", "bao", "etcd", "kube-apiserver")
"""The names of the executables that the services are run with."""

LESS_GARBAGE_COLLECTION = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Memory for processor time; at the limit it is the other way round (Go: A Guide to the Garbage Collector)."""

ALL = ("temporal", "openbao", "host-etcd", "host-apiserver", "worker", "bridge")
"""The names of all services."""


def host_parts() -> list[Part]:
    """Return the parts of the host cluster: those of the newest release, so that both are had only once."""
    return release_parts(max(load_releases().values(), key=lambda release: _numbers(release.name)))


def executables(report: Callable[[str], None]) -> dict[str, Path]:
    """Return the services' executables by command name; what is missing is fetched or built first.

    StackError when one can't be had. ``report`` is told about work that takes long.
    """
    try:
        found = ensure(host_parts(), report)
        return {**found, "temporal": tool("temporal"), "bao": tool("bao")}
    except BinariesError as error:
        raise StackError(str(error), "Then run `just up` again.") from error


def table(stack: Stack, commands: Mapping[str, Path]) -> dict[str, Service]:
    """Return all services by name, to be run with these executables."""
    services = (
        _temporal(stack, commands["temporal"]),
        _openbao(stack, commands["bao"]),
        _host_etcd(stack, commands["etcd"]),
        _host_apiserver(stack, commands["kube-apiserver"]),
        _worker(stack),
        _bridge(stack),
    )
    return {service.name: service for service in services}


def _temporal(stack: Stack, command: Path) -> Service:
    """Return Temporal's dev server on a file.

    With a write-ahead log SQLite on a file is as fast as in memory. The polls of a task queue are limited to 20 a
    second by default, which makes each step of a workflow wait 50 ms for its turn; nothing is polled while idle.
    """
    settings = (f"history.{queue}ProcessorMaxPollRPS=1000" for queue in ("transfer", "timer", "visibility"))
    arguments = [
        *("server", "start-dev", "--ip", LOOPBACK, "--port", str(stack.ports.temporal)),
        *("--ui-port", str(stack.ports.temporal_ui), "--ui-disable-news-fetch", "--log-level", "warn"),
        *("--dynamic-config-value", "matching.numTaskqueueReadPartitions=1"),
        *("--dynamic-config-value", "matching.numTaskqueueWritePartitions=1"),
        *("--db-filename", str(stack.state / "temporal" / "temporal.db")),
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
        # Temporal refuses attributes that it does not know.
        *(part for key in SEARCH_ATTRIBUTES for part in ("--search-attribute", _typed(key))),
        *(part for setting in settings for part in ("--dynamic-config-value", setting)),
    ]
    return Service(
        name="temporal",
        command=(str(command), *arguments),
        address=f"{stack.temporal_address}, Web UI {stack.temporal_ui_url}",
        ports=("temporal", "temporal_ui"),
        environment=LESS_GARBAGE_COLLECTION,
        probe=lambda: probes.temporal(stack),
    )


def _openbao(stack: Stack, command: Path) -> Service:
    return Service(
        name="openbao",
        command=(str(command), "server", f"-config={openbao.folder(stack)}/openbao.hcl"),
        address=stack.vault_address,
        ports=("openbao", "openbao_cluster"),
        prepare=lambda: openbao.prepare(stack),
        answers=lambda: openbao.health(stack) in (openbao.ACTIVE, openbao.UNINITIALISED),
        settle=lambda: openbao.settle(stack),
        probe=lambda: probes.vault(stack),
    )


def _host_etcd(stack: Stack, command: Path) -> Service:
    client, peer = (f"https://{LOOPBACK}:{port}" for port in (stack.ports.host_etcd, stack.ports.host_etcd_peer))
    pki = hostpki.pki(stack)
    pair, authority = str(pki / "etcd.pem"), str(pki / "etcd-ca.crt")
    arguments = {
        "name": "host",
        "data-dir": str(stack.state / "host" / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"host={peer}",
        "cert-file": pair,
        "key-file": pair,
        "trusted-ca-file": authority,
        "client-cert-auth": "true",
        "peer-cert-file": pair,
        "peer-key-file": pair,
        "peer-trusted-ca-file": authority,
        "peer-client-cert-auth": "true",
        "auto-compaction-retention": "1h",
        "log-level": "warn",
    }
    return Service(
        name="host-etcd",
        command=(str(command), *_flags(arguments)),
        address=client,
        ports=("host_etcd", "host_etcd_peer"),
        probe=lambda: probes.host_etcd(stack),
    )


def _host_apiserver(stack: Stack, command: Path) -> Service:
    pki = hostpki.pki(stack)
    arguments = {
        "etcd-servers": f"https://{LOOPBACK}:{stack.ports.host_etcd}",
        "etcd-cafile": str(pki / "etcd-ca.crt"),
        "etcd-certfile": str(pki / "apiserver-etcd-client.pem"),
        "etcd-keyfile": str(pki / "apiserver-etcd-client.pem"),
        "bind-address": LOOPBACK,
        "secure-port": str(stack.ports.host_apiserver),
        "tls-cert-file": str(pki / "apiserver.pem"),
        "tls-private-key-file": str(pki / "apiserver.pem"),
        "client-ca-file": str(pki / "kubernetes-ca.crt"),
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(pki / "service-account.key"),
        "service-account-signing-key-file": str(pki / "service-account.key"),
        "service-cluster-ip-range": "10.96.0.0/16",
        "authorization-mode": "RBAC",
        "anonymous-auth": "false",
        # No pod reaches this API through a service, so its endpoints are not published. Without an address to
        # publish it would not start on a machine that has no default route.
        "endpoint-reconciler-type": "none",
        "advertise-address": LOOPBACK,
        "profiling": "false",
    }
    return Service(
        name="host-apiserver",
        command=(str(command), *_flags(arguments)),
        address=stack.host_api_url,
        ports=("host_apiserver",),
        environment=LESS_GARBAGE_COLLECTION,
        settle=lambda: hostcluster.settle(stack),
        probe=lambda: probes.host_apiserver(stack),
        priority=200,
    )


def _worker(stack: Stack) -> Service:
    return Service(
        name="worker",
        command=(sys.executable, "-m", "workers.worker"),
        address=f"http://{stack.metrics_address}/metrics",
        ports=("metrics",),
        probe=lambda: probes.worker(stack),
        after=("temporal", "openbao"),
        environment={
            **stack.temporal_settings,
            "VAULT_ADDR": stack.vault_address,
            "GIANTNETES_METRICS_ADDRESS": stack.metrics_address,
            "GIANTNETES_CACHE": str(cache_dir()),
            "KUBECONFIG": str(stack.process_kubeconfig("worker")),
        },
        priority=1000,
        stop_s=10,
    )


def _bridge(stack: Stack) -> Service:
    return Service(
        name="bridge",
        command=(sys.executable, "-m", "workers.bridge"),
        address=f"http://{stack.bridge_address}/metrics",
        ports=("bridge",),
        settle=lambda: hostcluster.await_clusters(stack),
        probe=lambda: probes.bridge(stack),
        after=("temporal", "host-apiserver"),
        environment={
            **stack.temporal_settings,
            "GIANTNETES_METRICS_ADDRESS": stack.bridge_address,
            # supervisord runs one at a time: the next need not wait for the Lease of one that was killed
            "GIANTNETES_IDENTITY": "local",
            "KUBECONFIG": str(stack.process_kubeconfig("bridge")),
        },
        priority=1000,
    )


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.split(r"[.-]", release)]


def _typed(key: SearchAttributeKey[Any]) -> str:
    return f"{key.name}={key.indexed_value_type.name.capitalize()}"


def _flags(arguments: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in arguments.items())
