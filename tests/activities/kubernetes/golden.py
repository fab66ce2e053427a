"""The manifests of each release as they were when it was published, in ``releases/``.

``just golden`` writes them anew, for a release that is not published yet.
"""

from pathlib import Path

import yaml

from activities.kubernetes.addons import addons
from api.cluster import ClusterSpec, IngressConfig, IngressSpec
from contracts.context import ClusterContext
from planning.releases import load_releases

FOLDER = Path(__file__).parent / "releases"


def cluster_nowhere(release: str = "1.37.2-1") -> ClusterContext:
    """Return a cluster that does not exist."""
    spec = ClusterSpec(provider="local", owner="acme", release=release)
    return ClusterContext(
        cluster_id="c", namespace="default", name="c", spec=spec, machine_network="127.66.0.0/24"
    )


def changed(cluster: ClusterContext, **spec: object) -> ClusterContext:
    """Return a cluster with other fields in its spec."""
    return cluster.model_copy(update={"spec": cluster.spec.model_copy(update=spec)})


def with_ingress(cluster: ClusterContext, version: str) -> ClusterContext:
    """Return a cluster with an ingress controller."""
    config = IngressConfig(replicas=1, http_node_port=31080, https_node_port=31443)
    return changed(cluster, ingress=IngressSpec(version=version, config=config))


def file_of(release: str) -> Path:
    """Return the file with a release's manifests."""
    return FOLDER / f"{release}.yaml"


def rendered(release: str) -> str:
    """Return what a release's templates give now; on virtual machines that is all there is."""
    ingress = load_releases()[release].ingress[0].version
    cluster = changed(with_ingress(cluster_nowhere(release), ingress), provider="libvirt")
    return yaml.safe_dump_all(addons(cluster), sort_keys=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for release in load_releases():
        file_of(release).write_text(rendered(release))
