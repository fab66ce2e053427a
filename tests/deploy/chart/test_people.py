"""What the chart's roles let people do, as a real API server says, with the controller of aggregated roles."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.kubernetes.connection import connect
from deploy.stack import Stack
from planning.releases import load_releases
from tests.deploy.chart.rendering import CHART, of_kind, rendered
from tests.e2e.people import kubectl
from tests.support.host import host_cluster
from tests.support.stack import RELEASE
from workers.worker.wiring import installed

OURS, RBAC, TEAM = "giantnetes.io", "rbac.authorization.k8s.io", "team-a"
CLUSTERS, CERTIFICATES, RELEASES = (f"{OURS}/{plural}" for plural in ("clusters", "certificates", "releases"))
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SECONDS = 30

TENANTS = {"viewer": "view", "editor": "edit", "admin": "admin"}
"""Our roles of clusters, with those of Kubernetes that they are part of."""

Right = tuple[str, str]
"""A resource, as ``GROUP/PLURAL`` or ``GROUP/PLURAL/SUBRESOURCE``, and a verb."""

LOOK: set[Right] = {(kind, verb) for kind in (CLUSTERS, CERTIFICATES) for verb in ("get", "list", "watch")}
CHANGE: set[Right] = {(CLUSTERS, verb) for verb in ("create", "update", "patch")}
REMOVE: set[Right] = {(CLUSTERS, "delete"), *((CERTIFICATES, verb) for verb in ("create", "patch", "delete"))}
MAY = {"viewer": LOOK, "editor": LOOK | CHANGE, "admin": LOOK | CHANGE | REMOVE}

NO_TENANT_MAY: set[Right] = {
    *((RELEASES, verb) for verb in ("create", "update", "patch", "delete")),
    (f"{CLUSTERS}/status", "patch"),
    ("/namespaces", "update"),
}


@contextlib.contextmanager
def aggregation(stack: Stack, log: Path) -> Iterator[None]:
    """Run the controller that fills in aggregated roles; the local stack has none."""
    command = (
        installed(load_releases()[RELEASE])["kube-controller-manager"],
        f"--kubeconfig={stack.host_kubeconfig}",
        "--controllers=clusterrole-aggregation-controller",
        *("--leader-elect=false", "--secure-port=0"),
    )
    with log.open("wb") as written, subprocess.Popen(command, stdout=written, stderr=written) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A host cluster with a user of each role's name who has it: tenants in a namespace, operators everywhere."""
    with host_cluster() as stack, aggregation(stack, tmp_path_factory.mktemp("aggregation") / "log"):
        kubectl(stack.host_kubeconfig, "create", "namespace", TEAM)
        for role in (*(f"giantnetes-cluster-{ours}" for ours in TENANTS), *TENANTS.values()):
            who = (f"--clusterrole={role}", f"--user={role}", "--namespace", TEAM)
            kubectl(stack.host_kubeconfig, "create", "rolebinding", role, *who)
        for role in ("giantnetes-operator", "giantnetes-cluster-operator"):
            everywhere = (f"--clusterrole={role}", f"--user={role}")
            kubectl(stack.host_kubeconfig, "create", "clusterrolebinding", role, *everywhere)
        yield stack


def rights(host: Stack, user: str, asked: set[Right], namespace: str) -> set[Right]:
    """Return which of these rights a user has (SubjectAccessReview)."""

    def allowed(right: Right) -> bool:
        (group, plural, *below), verb = right[0].split("/"), right[1]
        wish = {"group": group, "resource": plural, "verb": verb, "namespace": namespace}
        spec = {
            "user": user,
            "groups": ["system:authenticated"],
            "resourceAttributes": {**wish, **({"subresource": below[0]} if below else {})},
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return bool(client.create(REVIEWS, body)["status"]["allowed"])

    with connect(host.host_kubeconfig) as client:
        return set(filter(allowed, asked))


def soon(host: Stack, user: str, wanted: set[Right], others: set[Right], namespace: str = "") -> set[Right]:
    """Return which of all these rights a user has, as soon as it is those that are wanted: roles take a moment."""
    deadline = time.monotonic() + SECONDS
    while (found := rights(host, user, wanted | others, namespace)) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("role", TENANTS)
def test_a_tenant_may_what_the_role_says_in_their_namespace(host: Stack, role: str) -> None:
    others = MAY["admin"] - MAY[role] | NO_TENANT_MAY
    for user in (f"giantnetes-cluster-{role}", TENANTS[role]):
        assert soon(host, user, MAY[role], others, TEAM) == MAY[role], user
        assert rights(host, user, MAY["admin"] | NO_TENANT_MAY, "default") == set()


@pytest.mark.parametrize("role", TENANTS)
def test_a_tenant_s_role_is_part_of_kubernetes_own(role: str) -> None:
    labels = of_kind(rendered(), "ClusterRole")[f"cluster-{role}"]["metadata"]["labels"]
    assert labels == {f"{RBAC}/aggregate-to-{TENANTS[role]}": "true"}


def test_everybody_may_see_releases(host: Stack) -> None:
    wanted = {(RELEASES, "list")}
    assert soon(host, "anybody", wanted, LOOK) == wanted


@pytest.mark.parametrize("role", ["giantnetes-operator", "giantnetes-cluster-operator"])
def test_an_operator_may_everything_of_ours(host: Stack, role: str) -> None:
    others = {("/secrets", "get"), ("/namespaces", "delete"), (f"{RBAC}/clusterroles", "escalate"), ("*/*", "*")}
    wanted = {(f"{OURS}/*", "*"), ("/namespaces", "patch"), ("/events", "list")}
    assert soon(host, role, wanted, others) == wanted


def test_operators_roles_are_no_part_of_kubernetes_own() -> None:
    roles = of_kind(rendered(), "ClusterRole")
    (chosen,) = roles["operator"]["aggregationRule"]["clusterRoleSelectors"]
    assert roles["cluster-operator"]["metadata"]["labels"] == chosen["matchLabels"]
    assert "labels" not in roles["operator"]["metadata"]


def test_a_role_for_another_kind_is_the_operator_s_too(host: Stack) -> None:
    role = ("clusterrole", "widgets")
    kubectl(host.host_kubeconfig, "create", *role, "--verb=get", "--resource=namespaces")
    rules = '{"rules": [{"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}]}'
    kubectl(host.host_kubeconfig, "patch", *role, "--patch", rules)
    kubectl(host.host_kubeconfig, "label", *role, f"{OURS}/aggregate-to-operator=true")
    wanted = {("example.org/widgets", "get"), (f"{OURS}/*", "*")}
    assert soon(host, "giantnetes-operator", wanted, set()) == wanted
    # As helm does for an upgrade: what it changed would conflict with what the controller wrote.
    again = ("apply", "--server-side", "--field-manager=helm", "--filename", str(CHART / "files" / "people.yaml"))
    kubectl(host.host_kubeconfig, *again)
    assert soon(host, "giantnetes-operator", wanted, set()) == wanted
