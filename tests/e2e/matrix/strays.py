"""Components of the cluster, real programs with their real keys, gone astray: an impostor stands where they call.

Each is rendered from the node templates for a machine with an address of its own, so nothing of the cluster is
touched.
"""

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from activities.kubernetes.client import Json, KubernetesClient
from activities.kubernetes.etcd import read_raw
from activities.kubernetes.identity import ClientIdentity, mutual_tls
from activities.vault import worker_identities
from api.errors import ErrorCode
from contracts.certificates import Certificate, Usage
from contracts.errors import StepError
from contracts.machines import MachineRequest
from contracts.vault import Authority
from deploy.docs.access import Connection
from nodes.model import Layout, MachineConfig
from nodes.render import render
from planning.releases import load_releases
from tests.e2e.matrix.credentials import NOBODY, Credential
from tests.e2e.matrix.subject import Subject
from tests.support.guest import CertificateAuthority
from workers.worker.wiring import installed

Call = Callable[[], None]
"""Makes a client call once. For those that call by themselves it sees that they run: ``EndedError`` otherwise."""

STRAY_HOST, SECOND_HOST, NODE_HOST = 201, 202, 210
STRAY, PODS = "stray", "/api/v1/namespaces/default/pods"
STRAY_GROUP = "stray.example.com"
AGGREGATED_PORT = 8443
TTL_SECONDS = 600
STOP_SECONDS = 10


class EndedError(Exception):
    """A program has ended by itself, as an API server does that finds no etcd for 20 s."""


def impostor_host(connection: Connection) -> tuple[int, int]:
    """Return host number and port of the one whom a connection is to lead to."""
    match connection.client, connection.server:
        case "kube-apiserver", "etcd":
            return STRAY_HOST, 2379
        case "etcd", "etcd":
            return SECOND_HOST, 2380
        case "worker", "etcd":
            return STRAY_HOST, 2381
        case "kube-apiserver", "kubelet":
            return NODE_HOST, 10250
    return STRAY_HOST, 6443


@contextmanager
def calling(subject: Subject, connection: Connection, folder: Path) -> Iterator[Call]:
    """Have the client of a connection call the impostor."""
    host, port = impostor_host(connection)
    address = subject.context.address(host)
    match connection.client, connection.server:
        case "worker", "etcd":
            tls = mutual_tls(_identity(subject, connection.presents))
            yield lambda: _try(lambda: read_raw([address], tls, "matrix"))
        case "worker", _:
            with api_client(subject, connection.presents, f"https://{address}:{port}") as client:
                yield lambda: _try(lambda: client.ask("GET", "/"))
        case _, "kubelet":
            with api_client(subject, "admin", subject.context.endpoint) as admin:
                yield _logs(subject, admin)
        case _:
            with _program(_config(subject, connection, folder), connection.client, folder) as call:
                yield call


def _try(call: Callable[[], object]) -> None:
    """Make a call, and see a server that isn't to be trusted named as that."""
    try:
        call()
    except StepError as error:
        if error.code is not ErrorCode.API_DENIED:
            raise


def api_client(subject: Subject, name: str, url: str) -> KubernetesClient:
    """Return a client of an API server at ``url``, as our activities have it."""
    return KubernetesClient(url, mutual_tls(_identity(subject, name)))


def _identity(subject: Subject, name: str) -> ClientIdentity:
    return worker_identities(subject.vault).client_certificate(subject.context, name, TTL_SECONDS)


def _logs(subject: Subject, admin: KubernetesClient) -> Call:
    """Add a node where the impostor is, and a pod on it; the API server calls there for the pod's log."""
    address = {"type": "InternalIP", "address": subject.context.address(NODE_HOST)}
    status = {"addresses": [address], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
    spec = {"nodeName": STRAY, "containers": [{"name": STRAY, "image": STRAY}]}
    _ensure(admin, "/api/v1/nodes", {**_object("Node"), "status": status})
    _ensure(admin, PODS, {**_object("Pod"), "spec": spec})

    def call() -> None:
        admin.ask("GET", f"{PODS}/{STRAY}/log")

    return call


def _ensure(admin: KubernetesClient, collection: str, body: Json) -> None:
    """Make an object, unless there is one of its name."""
    if not admin.find(f"{collection}/{STRAY}"):
        admin.create(collection, body)


def aggregate(subject: Subject, admin: KubernetesClient, authority: str) -> tuple[str, int]:
    """Have the API server ask the impostor for an API group, trusting a CA (PEM) for it; returns its address."""
    address = subject.context.address(STRAY_HOST)
    service = {"spec": {"type": "ExternalName", "externalName": address}}
    _ensure(admin, "/api/v1/namespaces/default/services", {**_object("Service"), **service})
    spec = {
        "group": STRAY_GROUP,
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"name": STRAY, "namespace": "default", "port": AGGREGATED_PORT},
        "caBundle": base64.b64encode(authority.encode()).decode(),
    }
    name = f"v1.{STRAY_GROUP}"
    head = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}}
    admin.apply(f"/apis/apiregistration.k8s.io/v1/apiservices/{name}", {**head, "spec": spec})
    return address, AGGREGATED_PORT


def aggregated(
    subject: Subject, authority: CertificateAuthority, name: str = f"{STRAY}.default.svc"
) -> Credential:
    """Return the certificate of a server of an API group, for a service's name."""
    kind = Certificate("aggregated", Authority.KUBERNETES, name, Usage.SERVER, None, "", dns=(name,))
    identity = authority.issue(kind, subject.context, NOBODY)
    return Credential(identity.cert_pem, identity.key_pem)


def _object(kind: str) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": STRAY}}


def _config(subject: Subject, connection: Connection, folder: Path) -> MachineConfig:
    """Return the machine of a component, elsewhere, with the keys of the cluster's own machine."""
    cluster = subject.context.model_copy(update={"endpoint_host": STRAY_HOST})
    slot = subject.control_plane.model_copy(update={"host": STRAY_HOST})
    node = subject.node.model_copy(update={"host": NODE_HOST})
    slots = [slot]
    if connection.client == connection.server:
        slots.append(slot.model_copy(update={"name": "control-plane-2", "host": SECOND_HOST}))
    machine, real = (node, subject.node) if connection.client == "kubelet" else (slot, subject.control_plane)
    release = load_releases()[cluster.spec.release]
    layout = Layout(
        config=str(folder / "config"),
        state=str(subject.folder(real) / "state"),
        etcd=str(folder / "etcd"),
        logs=str(folder / "log"),
        binaries={name: str(path) for name, path in installed(release).items()},
    )
    return render(release, MachineRequest(cluster=cluster, machine=machine, slots=slots), layout)


@contextmanager
def _program(config: MachineConfig, name: str, folder: Path) -> Iterator[Call]:
    """Run a service of a machine at once, whatever it needs: who it would wait for is the impostor."""
    [service] = [service for service in config.services if service.name == name]
    for path in config.folders:
        Path(path).mkdir(parents=True, exist_ok=True)
    for file in config.files:
        Path(file.path).write_text(file.content)
    # The kubelet makes sockets below TMPDIR, and their names must be short (unix(7): sun_path).
    environment = {**os.environ, **service.environment, "HOME": str(folder), "TMPDIR": "/proc/self/cwd"}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *service.argv],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )

        def call() -> None:
            if process.poll() is not None:
                raise EndedError(f"{name} has ended: {(folder / 'output').read_text()[-2000:]}")

        try:
            yield call
        finally:
            process.kill()
            process.wait(STOP_SECONDS)
