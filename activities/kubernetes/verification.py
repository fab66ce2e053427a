"""Verifying a cluster by using it: workload, secrets, service accounts, and what must be refused."""

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from activities.kubernetes.client import Json, KubernetesClient, follow
from activities.kubernetes.manifests import release_of, render
from activities.kubernetes.waiting import patience, poll
from api.cluster import NodePool
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError

NAMESPACES = "/api/v1/namespaces"
PREFIX = "giantnetes-verification-"
LABEL = "giantnetes.io/verification"
PODS = 2

ENCRYPTED = b"k8s:enc:"
"""What a value starts with that the API server encrypted (Kubernetes: "Encrypting Confidential Data at Rest")."""

TOKEN_SECONDS = 600
"""The shortest life of a service account token (Kubernetes API: TokenRequestSpec)."""


@dataclass(frozen=True)
class Verification:
    """One go at verifying a cluster, in a namespace of its own, so that it may run twice or stop half-way.

    ``admin`` speaks to the endpoint; ``connect`` makes a client for each API server with a bearer token
    instead of a certificate, anonymous for an empty one; ``read_etcd`` returns the raw value of a key.
    """

    cluster: ClusterContext
    admin: KubernetesClient
    connect: Callable[[str], list[KubernetesClient]]
    read_etcd: Callable[[str], bytes]

    def run(self) -> str:
        """Return what was seen, in a sentence. Raises VERIFICATION_FAILED with what did not work.

        The namespaces of this and of earlier, broken goes are deleted; Kubernetes finishes that by itself.
        """
        deadline = time.monotonic() + patience()
        created = self.admin.create(NAMESPACES, {"metadata": {"generateName": PREFIX, "labels": {LABEL: "true"}}})
        try:
            facts = self._use(created["metadata"]["name"], deadline)
        except BaseException:
            with suppress(StepError):
                self._clean_up()
            raise
        self._clean_up()
        return "; ".join(facts)

    def _use(self, namespace: str, deadline: float) -> list[str]:
        """Start what takes longest, and look at the rest while it comes up."""
        replicas = min(PODS, sum(pool.replicas for pool in self.cluster.spec.node_pools))
        if replicas:
            self._start_workload(namespace, replicas)
        facts = [
            self._keeps_secrets(namespace),
            self._refuses_anonymous(),
            self._knows_service_accounts(namespace, deadline),
        ]
        if replicas:
            return [self._runs_workload(namespace, replicas, deadline), *facts]
        return ["no workload was tried, as there are no nodes", *facts]

    def _start_workload(self, namespace: str, replicas: int) -> None:
        release = release_of(self.cluster)
        [deployment] = render(
            release.node_templates,
            "verification",
            image=release.pause.reference(prefix=""),
            replicas=replicas,
            tolerations=tolerations(self.cluster.spec.node_pools),
        )
        self.admin.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment)

    def _runs_workload(self, namespace: str, replicas: int, deadline: float) -> str:
        for pods in follow(self.admin, f"{NAMESPACES}/{namespace}/pods"):
            running = [pod for pod in pods.values() if pod["status"].get("phase") == "Running"]
            if len(running) >= replicas:
                nodes = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in running}
                read_logs(self.admin, namespace, nodes, deadline)
                return f"pods ran on {', '.join(sorted(nodes))}"
            if time.monotonic() > deadline:
                fail(f"{len(running)} of {replicas} pods ran: {_describe(pods)}")
        raise AssertionError("follow never ends")

    def _keeps_secrets(self, namespace: str) -> str:
        """Write a secret, and see that etcd holds it encrypted and the API gives it back."""
        marker = base64.b64encode(secrets.token_bytes(24)).decode()
        path = f"{NAMESPACES}/{namespace}/secrets"
        self.admin.create(path, {"metadata": {"name": "marker"}, "stringData": {"marker": marker}})
        provider = encryption(self.read_etcd(f"/registry/secrets/{namespace}/marker"), marker.encode())
        if base64.b64decode(self.admin.get(f"{path}/marker")["data"]["marker"]) != marker.encode():
            fail("the API gives back another secret than the one that was written")
        return f"secrets are encrypted in etcd ({provider})"

    def _refuses_anonymous(self) -> str:
        for server in self.connect(""):
            status = server.ask("GET", NAMESPACES).status
            if status != 401:
                fail(f"{server.url} answers an anonymous request with {status}, not 401")
        return "anonymous requests are refused"

    def _knows_service_accounts(self, namespace: str, deadline: float) -> str:
        """See that the controller manager makes the account, and each API server accepts a token of it."""
        path = f"{NAMESPACES}/{namespace}/serviceaccounts/default"
        if not answers(self.admin, path, deadline):
            fail(f"the controller manager made no default service account in {namespace}")
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.admin.create(f"{path}/token", {**kind, "spec": {"expirationSeconds": TOKEN_SECONDS}})
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        for server in self.connect(answer["status"]["token"]):
            status = server.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review).status
            if status != 201:
                fail(f"{server.url} answers a service account token with {status}: its key is another")
        return "service accounts work"

    def _clean_up(self) -> None:
        """Delete our namespaces: those with our label and a name of ours, so never one that a user labelled."""
        for namespace in self.admin.get(f"{NAMESPACES}?labelSelector={LABEL}")["items"]:
            metadata = namespace["metadata"]
            if metadata["name"].startswith(PREFIX) and "deletionTimestamp" not in metadata:
                self.admin.ask("DELETE", f"{NAMESPACES}/{metadata['name']}")


def fail(message: str) -> NoReturn:
    """Raise VERIFICATION_FAILED."""
    raise StepError(ErrorCode.VERIFICATION_FAILED, message)


def answers(client: KubernetesClient, path: str, deadline: float) -> bool:
    """Say whether ``path`` can be read before the deadline."""
    found = poll(lambda: client.ask("GET", path).status == 200 or None, deadline - time.monotonic())
    return found is not None


def read_logs(client: KubernetesClient, namespace: str, pods: dict[str, str], deadline: float) -> None:
    """See that the API server reaches kubelets, and is let in: by the log of a pod on each node.

    ``pods`` maps nodes to pods. Raises VERIFICATION_FAILED.
    """
    for node, pod in pods.items():
        if not answers(client, f"{NAMESPACES}/{namespace}/pods/{pod}/log", deadline):
            fail(f"the API server could not get the log of {pod} from the kubelet of {node}")


def encryption(raw: bytes, marker: bytes) -> str:
    """Return the name of the provider that encrypted a value in etcd. Raises VERIFICATION_FAILED if none did.

    Encrypted values start with ``k8s:enc:<provider>:v1:<key name>:``.
    """
    if not raw:
        fail("etcd has no value for a secret that the API server took")
    if not raw.startswith(ENCRYPTED) or marker in raw:
        fail("a secret lies unencrypted in etcd")
    return raw[len(ENCRYPTED) :].split(b":", 1)[0].decode(errors="replace")


def tolerations(pools: list[NodePool]) -> list[Json]:
    """Return what lets the workload onto a pool: nothing, unless every pool with nodes is tainted."""
    taints = [
        [taint for taint in pool.taints if taint.effect != "PreferNoSchedule"] for pool in pools if pool.replicas
    ]
    if not taints or not all(taints):
        return []
    return [{"operator": "Equal", **taint.model_dump()} for taint in taints[0]]


def _describe(pods: dict[str, Json]) -> str:
    """Say what each pod waits for. The scheduler's message names nodes and taints only."""
    if not pods:
        return "the controller manager made none"
    return "; ".join(f"{name} is {_waits_for(pod['status'])}" for name, pod in sorted(pods.items()))


def _waits_for(status: Json) -> str:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"unscheduled: {condition.get('message', '')[:300]}"
    states = [container["state"].get("waiting", {}) for container in status.get("containerStatuses", [])]
    return f"{status.get('phase')} {' '.join(state.get('reason', '') for state in states)}".strip()
