"""What every cluster gets beside Kubernetes itself: CoreDNS, kube-proxy, and an ingress controller if asked."""

from functools import partial

from activities.kubernetes.client import CONNECTIONS, Json, KubernetesClient
from activities.kubernetes.manifests import path_of, release_of, render
from activities.kubernetes.waiting import poll
from activities.parallel import gather
from api.errors import ErrorCode
from api.release import Image, Release
from contracts.context import ClusterContext
from contracts.errors import StepError

_STAGES = ({"ClusterRole", "ClusterRoleBinding"}, {"CustomResourceDefinition", "Namespace"})
"""Kinds that come first: what nodes may read, which the network's programs on them end without; then what others
need."""

_CUSTOM = {"ClusterInformation"}
"""Kinds that custom resource definitions among the add-ons make, which come last."""

SERVED_SECONDS = 15.0
"""How long the API may take from a definition to answers about its resources."""


def apply_addons(client: KubernetesClient, cluster: ClusterContext) -> int:
    """Apply all manifests; return how many. Those that others need come first, the rest side by side."""
    manifests = addons(cluster)
    others = {manifest["kind"] for manifest in manifests}.difference(*_STAGES, _CUSTOM)
    for kinds in (*_STAGES, others):
        stage = [manifest for manifest in manifests if manifest["kind"] in kinds]
        gather([partial(client.apply, path_of(manifest), manifest) for manifest in stage], CONNECTIONS)
    for manifest in (manifest for manifest in manifests if manifest["kind"] in _CUSTOM):
        _await_served(client, path_of(manifest).rpartition("/")[0])
        client.apply(path_of(manifest), manifest)
    return len(manifests)


def _await_served(client: KubernetesClient, collection: str) -> None:
    """Wait until the API knows the kind of a collection, which is some time after it was defined."""
    if poll(lambda: client.ask("GET", f"{collection}?limit=1").status != 404 or None, SERVED_SECONDS) is None:
        text = f"{client.url}{collection} is not served {SERVED_SECONDS:.0f} s after it was defined"
        raise StepError(ErrorCode.API_NOT_READY, text)


def addons(cluster: ClusterContext) -> list[Json]:
    """Return the manifests of a cluster. Raises UNKNOWN_RELEASE, or INVALID_SPEC for the ingress version."""
    release = release_of(cluster)
    network = cluster.spec.network
    version = release.node_templates
    dns = {"domain": network.cluster_domain, "dns_address": cluster.dns_address}
    proxy = {"endpoint": cluster.endpoint, "pod_cidr": network.pod_cidr}
    if runs_network_on_nodes(cluster):
        network_parts = render(version, "network", cluster_id=cluster.cluster_id)
    else:
        network_parts = render(version, "kube-proxy", image=release.kube_proxy.reference(), **proxy)
    return [
        *network_parts,
        *render(version, "coredns", image=release.coredns.reference(), **dns),
        *_ingress(cluster, release),
    ]


def runs_network_on_nodes(cluster: ClusterContext) -> bool:
    """Say whether kube-proxy and what connects pods are programs of the nodes, as on virtual machines."""
    return cluster.spec.provider == "libvirt"


def _ingress(cluster: ClusterContext, release: Release) -> list[Json]:
    ingress = cluster.spec.ingress
    if ingress is None:
        return []
    image = _ingress_image(release, ingress.version).reference()
    return render(release.node_templates, "traefik", image=image, config=ingress.config)


def _ingress_image(release: Release, version: str) -> Image:
    for image in release.ingress:
        if image.version == version:
            return image
    known = ", ".join(image.version for image in release.ingress)
    text = f"spec.ingress.version {version} is not in release {release.name}: choose one of {known}"
    raise StepError(ErrorCode.INVALID_SPEC, text)
