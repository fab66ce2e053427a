"""The activities that speak to a guest cluster."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from temporalio import activity

from activities.kubernetes.access import BINDINGS, await_allowed, bind_groups
from activities.kubernetes.addons import apply_addons
from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.drain import cordon, drain
from activities.kubernetes.etcd import read_raw
from activities.kubernetes.identity import LIFETIME_SECONDS, ClientIdentity, Identities, mutual_tls, server_tls
from activities.kubernetes.nodes import await_nodes
from activities.kubernetes.readiness import await_ready
from activities.kubernetes.serving import await_serials
from activities.kubernetes.verification import Verification
from contracts.activities import (
    AWAIT_API,
    AWAIT_NODES,
    DRAIN_NODE,
    ENSURE_ACCESS,
    ENSURE_ADDONS,
    UNCORDON_NODE,
    VERIFY_CLUSTER,
    VERIFY_SERVING,
)
from contracts.certificates import USER_FACING_ROLES
from contracts.context import ClusterContext
from contracts.guest import GuestReport, GuestRequest, ServingRequest
from contracts.machines import MachineRole
from contracts.vault import Authority


class GuestActivities:
    """Steps on a guest cluster's API: idempotent, and never waiting beyond their own timeout.

    ``identities`` gives the client certificates. A request's ``machines`` are the control plane's, so that
    each of its servers is looked at, but for what is about nodes, which gets the machines that become them.
    All raise ``StepError`` only.
    """

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    @activity.defn(name=AWAIT_API)
    def await_api(self, request: GuestRequest) -> GuestReport:
        """Wait until the API is ready at the endpoint and on each control plane machine."""
        with self._servers(request) as servers:
            await_ready(servers)
        return GuestReport(message=f"ready at {', '.join(server.url for server in servers)}")

    @activity.defn(name=ENSURE_ACCESS)
    def ensure_access(self, request: GuestRequest) -> GuestReport:
        """Bind the groups of our own certificates and those of people, and wait until each API server knows."""
        with self._endpoint(request.cluster, "super-admin") as super_admin:
            bind_groups(super_admin, request.cluster.spec.api_server.oidc)
        with self._servers(request) as servers:
            await_allowed(servers)
        return GuestReport(message=f"bound {', '.join([*BINDINGS, *USER_FACING_ROLES])}")

    @activity.defn(name=ENSURE_ADDONS)
    def ensure_addons(self, request: GuestRequest) -> GuestReport:
        """Apply the manifests of CoreDNS, kube-proxy and the ingress controller."""
        with self._endpoint(request.cluster, "admin") as admin:
            count = apply_addons(admin, request.cluster)
        return GuestReport(message=f"{count} objects applied")

    @activity.defn(name=AWAIT_NODES)
    def await_nodes(self, request: GuestRequest) -> GuestReport:
        """Give the machines' nodes addresses, let pods onto them, and wait until they are Ready."""
        if request.machines:
            with self._endpoint(request.cluster, "admin") as admin:
                await_nodes(admin, request.cluster, request.machines, anew=request.anew)
        return GuestReport(message=f"{len(request.machines)} nodes ready")

    @activity.defn(name=VERIFY_CLUSTER)
    def verify_cluster(self, request: GuestRequest) -> GuestReport:
        """Use the cluster, and say what was seen."""
        cluster = request.cluster
        etcd = mutual_tls(self._identity(cluster, "etcd-healthcheck-client"))
        identity = self._identity(cluster, "admin")
        trust = server_tls(identity.ca_pem)
        with ExitStack() as stack:
            admin = stack.enter_context(KubernetesClient(cluster.endpoint, mutual_tls(identity)))

            def connect(token: str) -> list[KubernetesClient]:
                return [stack.enter_context(KubernetesClient(url, trust, token)) for url in _urls(request)]

            verification = Verification(cluster, admin, connect, partial(read_raw, _addresses(request), etcd))
            return GuestReport(message=verification.run())

    @activity.defn(name=VERIFY_SERVING)
    def verify_serving(self, request: ServingRequest) -> GuestReport:
        """Wait until a machine's endpoints show the certificates that it was given last."""
        identities = {
            Authority.KUBERNETES: mutual_tls(self._identity(request.cluster, "admin")),
            Authority.ETCD: mutual_tls(self._identity(request.cluster, "etcd-healthcheck-client")),
        }
        address = request.cluster.address(request.machine.host)
        count = await_serials(request.cluster, address, request.serials, identities)
        return GuestReport(message=f"{count} endpoints of {request.machine.name} show their new certificates")

    @activity.defn(name=DRAIN_NODE)
    def drain_node(self, request: GuestRequest) -> GuestReport:
        """Move pods away from the nodes of the machines, which are about to go."""
        with self._endpoint(request.cluster, "admin") as admin:
            told = [drain(admin, machine.name) for machine in request.machines]
        return GuestReport(message="; ".join(told))

    @activity.defn(name=UNCORDON_NODE)
    def uncordon_node(self, request: GuestRequest) -> GuestReport:
        """Let pods onto the nodes of the machines."""
        with self._endpoint(request.cluster, "admin") as admin:
            for machine in request.machines:
                cordon(admin, machine.name, cordoned=False)
        return GuestReport(message="pods are let onto the nodes")

    def _identity(self, cluster: ClusterContext, name: str) -> ClientIdentity:
        return self._identities.client_certificate(cluster, name, LIFETIME_SECONDS)

    def _endpoint(self, cluster: ClusterContext, name: str) -> KubernetesClient:
        return KubernetesClient(cluster.endpoint, mutual_tls(self._identity(cluster, name)))

    @contextmanager
    def _servers(self, request: GuestRequest) -> Iterator[list[KubernetesClient]]:
        """Give a client as ``admin`` for the endpoint and for each control plane machine."""
        tls = mutual_tls(self._identity(request.cluster, "admin"))
        with ExitStack() as stack:
            yield [stack.enter_context(KubernetesClient(url, tls)) for url in _urls(request)]


def _addresses(request: GuestRequest) -> list[str]:
    """Return the addresses of the control plane machines; of the endpoint when none is named."""
    named = [m.host for m in request.machines if m.role is MachineRole.CONTROL_PLANE]
    return [request.cluster.address(host) for host in named or [request.cluster.endpoint_host]]


def _urls(request: GuestRequest) -> list[str]:
    """Return the URLs of the endpoint and of each control plane machine, each once."""
    port = request.cluster.spec.network.api_port
    return list(dict.fromkeys([request.cluster.endpoint, *(f"https://{a}:{port}" for a in _addresses(request))]))
