"""A real API server takes all that the chart makes, and gives its service accounts what they need and no more."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from api.crds import KINDS
from deploy.stack import Stack
from tests.deploy.chart.rendering import (
    EVERYTHING,
    NAMESPACE,
    NEEDED,
    PROCESSES,
    Json,
    of_kind,
    pod_specs,
    rendered,
)
from tests.e2e.people import kubectl, kubectl_path
from tests.support.host import host_cluster

OF_OTHERS = {"PodMonitor", "PrometheusRule"}
"""Kinds of Prometheus' operator."""

LABELS = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]


@pytest.fixture(scope="module")
def host() -> Iterator[Stack]:
    """A host cluster with a namespace that takes restricted pods only."""
    with host_cluster() as stack:
        kubectl(stack.host_kubeconfig, "create", "namespace", NAMESPACE)
        kubectl(stack.host_kubeconfig, "label", "namespace", NAMESPACE, *LABELS)
        yield stack


def apply(host: Stack, objects: list[Json], *options: str) -> str:
    """Apply objects; returns what was said, which has no warnings."""
    done = subprocess.run(
        [kubectl_path(), "--kubeconfig", host.host_kubeconfig, "apply", *options, "--filename", "-"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_every_object_is_taken(host: Stack, values: Json) -> None:
    objects = [each for each in rendered(values) if each["kind"] not in OF_OTHERS]
    said = apply(host, objects, "--server-side", "--force-conflicts", "--dry-run=server")
    assert len(said.splitlines()) == len(objects)


def test_pods_fit_the_restricted_standard(host: Stack) -> None:
    apply(host, list(of_kind(rendered(), "ServiceAccount").values()))
    pods: list[Json] = []
    for values in (NEEDED, EVERYTHING):
        for name, spec in pod_specs(rendered(values)).items():
            metadata = {"generateName": name, "namespace": NAMESPACE}
            pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    done = subprocess.run(
        [kubectl_path(), "--kubeconfig", host.host_kubeconfig, "create", "--dry-run=server", "--filename", "-"],
        input=document,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(pods) == 14


@pytest.fixture(scope="module")
def bound(host: Stack) -> Stack:
    """The host cluster with the chart's roles and bindings."""
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    objects = [each for each in rendered() if each["kind"] in kinds]
    apply(host, objects, "--server-side", "--force-conflicts")
    return host


def may(host: Stack, account: str) -> list[dict[str, Any]]:
    """Return the rules of RBAC that hold for a service account in our namespace (SelfSubjectRulesReview)."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": NAMESPACE},
    }
    user = f"system:serviceaccount:{NAMESPACE}:giantnetes-{account}"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated")
    impersonation = [f"--as={user}", *(f"--as-group={group}" for group in groups)]
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    done = subprocess.run(
        [
            *(str(kubectl_path()), "--kubeconfig", str(host.host_kubeconfig), *impersonation),
            *("create", "--raw", path, "--filename", "-"),
        ],
        input=json.dumps(review),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rules: list[dict[str, Any]] = json.loads(done.stdout)["status"]["resourceRules"]
    return rules


def rights(host: Stack, account: str) -> set[tuple[str, str]]:
    """Return pairs of resource and verb."""
    found = set()
    for rule in may(host, account):
        ours = set(rule["apiGroups"]) - {"authorization.k8s.io", "authentication.k8s.io"}
        names = f"={','.join(rule['resourceNames'])}" if rule.get("resourceNames") else ""
        if ours:
            found |= {(f"{resource}{names}", verb) for resource in rule["resources"] for verb in rule["verbs"]}
    return found


DEFINITIONS = f"customresourcedefinitions={','.join(sorted(kind.crd_name for kind in KINDS))}"
TRUST = {("clustertrustbundles", verb) for verb in ("get", "list", "watch")}
"""Kubernetes lets every service account read certificates of public CAs."""

RIGHTS = {
    "bridge": {
        *(("clusters", verb) for verb in ("get", "list", "watch", "patch")),
        *(("clusters/status", "patch"), ("releases", "create"), ("releases", "delete")),
        *(("certificates", verb) for verb in ("list", "watch", "create", "patch", "delete")),
        ("certificates/status", "patch"),
        *(("customresourcedefinitions", "create"), (DEFINITIONS, "get"), (DEFINITIONS, "patch")),
        *(("leases", "create"), ("leases=giantnetes-bridge", "get"), ("leases=giantnetes-bridge", "update")),
    },
    "worker-host": {
        *(("clusters", verb) for verb in ("get", "patch", "delete")),
        *(("clusters/status", "patch"), ("events", "create"), ("certificates", "get")),
    },
}


@pytest.mark.parametrize("account", PROCESSES)
def test_each_service_account_may_do_its_work_and_nothing_else(bound: Stack, account: str) -> None:
    everybody_s = rights(bound, "of-nobody")
    assert ("releases", "get") in everybody_s
    assert not any(resource.startswith(("clusters", "secrets", "*")) for resource, _ in everybody_s - TRUST)
    assert rights(bound, account) - everybody_s == RIGHTS.get(account, set())


@pytest.mark.parametrize("account", sorted(RIGHTS))
@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("create", "clusters"),
        ("create", "pods"),
        ("escalate", "clusterroles"),
        ("bind", "roles"),
    ],
)
def test_what_would_be_worth_stealing_a_token_for_is_refused(
    bound: Stack, account: str, verb: str, resource: str
) -> None:
    user = f"--as=system:serviceaccount:{NAMESPACE}:giantnetes-{account}"
    said = kubectl(bound.host_kubeconfig, "auth", "can-i", verb, resource, "--all-namespaces", user, ok=False)
    assert said.strip() == "no"
