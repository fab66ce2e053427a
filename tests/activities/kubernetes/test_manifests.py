"""Manifests as they are rendered, without an API to apply them to."""

import pytest

from activities.kubernetes.addons import addons
from activities.kubernetes.client import Json
from activities.kubernetes.manifests import path_of
from api.errors import ErrorCode
from api.release import Image, Wheel
from contracts.context import ClusterContext
from contracts.errors import StepError
from planning.releases import load_releases
from tests.activities.kubernetes import golden
from tests.activities.kubernetes.golden import changed, with_ingress

COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"
DNS_SERVICE = "/api/v1/namespaces/kube-system/services/kube-dns"


def images(manifests: list[Json]) -> set[str]:
    templates = [manifest["spec"]["template"] for manifest in manifests if "template" in manifest.get("spec", {})]
    return {container["image"] for template in templates for container in template["spec"]["containers"]}


@pytest.mark.parametrize("name", sorted(load_releases()))
def test_each_release_renders_its_own_versions(nowhere: ClusterContext, name: str) -> None:
    release = load_releases()[name]
    ingress = with_ingress(nowhere, release.ingress[0].version)
    manifests = addons(changed(ingress, release=name))
    parts = [release.coredns, release.kube_proxy, release.ingress[0]]
    assert images(manifests) == {part.reference() for part in parts}
    assert len({path_of(manifest) for manifest in manifests}) == len(manifests)


@pytest.mark.parametrize("name", sorted(load_releases()))
def test_what_a_release_installs_is_frozen(name: str) -> None:
    """A change belongs into a new version of the templates; see ``golden`` for a release not yet published."""
    assert golden.file_of(name).read_text() == golden.rendered(name)


def test_an_image_is_named_by_its_digest_where_it_has_one() -> None:
    digest = f"sha256:{'0' * 64}"
    image = Image(name="r.io/a", version="1.2.3", source=Wheel(package="a", sha256="0" * 64))
    assert image.model_copy(update={"digest": digest}).reference() == f"r.io/a:v1.2.3@{digest}"
    assert image.reference(prefix="") == "r.io/a:1.2.3"


def test_manifests_hold_the_clusters_network(nowhere: ClusterContext) -> None:
    found = {path_of(manifest): manifest for manifest in addons(nowhere)}
    assert found[DNS_SERVICE]["spec"]["clusterIP"] == nowhere.dns_address
    assert f"kubernetes {nowhere.spec.network.cluster_domain} " in found[COREFILE]["data"]["Corefile"]
    proxy = found["/api/v1/namespaces/kube-system/configmaps/kube-proxy"]["data"]
    assert f"server: {nowhere.endpoint}" in proxy["kubeconfig.conf"]
    assert f"clusterCIDR: {nowhere.spec.network.pod_cidr}" in proxy["config.conf"]


def test_an_unknown_release_is_refused(nowhere: ClusterContext) -> None:
    with pytest.raises(StepError, match="no release") as caught:
        addons(changed(nowhere, release="9.9.9-9"))
    assert caught.value.code is ErrorCode.UNKNOWN_RELEASE


def test_an_ingress_version_that_the_release_lacks_is_refused(nowhere: ClusterContext) -> None:
    with pytest.raises(StepError, match=r"spec\.ingress\.version 0\.0\.1 .* choose one of") as caught:
        addons(with_ingress(nowhere, "0.0.1"))
    assert caught.value.code is ErrorCode.INVALID_SPEC
