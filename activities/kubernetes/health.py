"""How a guest cluster is, as its own API tells."""

import ssl
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.identity import LIFETIME_SECONDS, Identities, mutual_tls
from activities.kubernetes.nodes import NODES
from activities.kubernetes.serving import shown_certificate
from activities.parallel import gather
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.reporting import ApiHealth
from planning.create import CONTROL_PLANE, machine_groups


class GuestHealth:
    """Looks at guest clusters as ``admin`` of each. ``identities`` gives the client certificates."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def look(self, cluster: ClusterContext) -> ApiHealth:
        """Ask the endpoint and each control plane machine whether it is ready, and the endpoint for its nodes.

        Raises ``StepError`` with one of the codes of Vault when there is no certificate to ask with, and with one
        of guest APIs when it doesn't tell of its nodes.
        """
        tls = mutual_tls(self._identities.client_certificate(cluster, "admin", LIFETIME_SECONDS))
        port = cluster.spec.network.api_port
        slots = {
            slot.name: f"https://{cluster.address(slot.host)}:{port}"
            for slot in machine_groups(cluster.spec)[CONTROL_PLANE]
        }
        with ExitStack() as stack:
            endpoint = stack.enter_context(KubernetesClient(cluster.endpoint, tls))
            servers = [stack.enter_context(KubernetesClient(url, tls)) for url in slots.values()]
            problem, *told = gather(partial(_problem, server) for server in (endpoint, *servers))
            nodes = [] if problem else _ready_nodes(endpoint)
        ends = gather(partial(_certificate_ends, url, tls) for url in slots.values())
        return ApiHealth(
            available=not problem,
            message=problem or f"{cluster.endpoint} is ready",
            control_plane=[name for name, trouble in zip(slots, told, strict=True) if not trouble],
            nodes=nodes,
            certificate_expires_at=min((end for end in ends if end), default=None),
        )


def _problem(client: KubernetesClient) -> str:
    """Return what keeps a server from being ready, empty when nothing does."""
    try:
        answer = client.ask("GET", "/readyz")
    except StepError as error:
        return error.message
    return "" if answer.status == HTTPStatus.OK else f"{client.url}: /readyz answers {answer.status}"


def _ready_nodes(client: KubernetesClient) -> list[str]:
    return sorted(
        node["metadata"]["name"]
        for node in client.get(NODES)["items"]
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in node["status"].get("conditions", [])
        )
    )


def _certificate_ends(url: str, tls: ssl.SSLContext) -> datetime | None:
    """Return when the certificate ends that a server shows, None when it shows none."""
    parts = urlsplit(url)
    certificate = shown_certificate(str(parts.hostname), parts.port or 443, tls)
    return certificate.not_valid_after_utc if certificate else None
