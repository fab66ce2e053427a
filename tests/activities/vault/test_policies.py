"""Each task's policy lets it do its work, which all other tests here prove, and nothing else."""

from typing import Any

import pytest
from hvac import exceptions

from activities.vault import Task
from contracts.context import ClusterContext
from tests.activities.vault.certs import signing_request
from tests.activities.vault.support import Vault, new_cluster
from tests.support.openbao import POLICIES, OpenBao

REQUEST = signing_request()
PKI = "pki/{id}/kubernetes"

Request = tuple[str, str, Any]
"""Method, path and body; ``{id}`` in the path is a living cluster's."""

SIGN = ("post", f"{PKI}/sign/admin", {"csr": REQUEST, "common_name": "kubernetes-admin"})
SIGN_NODE = ("post", f"{PKI}/sign/kubelet-client", {"csr": REQUEST, "common_name": "system:node:workers-1"})
SIGN_PERSON = ("post", f"{PKI}/sign/user-x", {"csr": REQUEST, "common_name": "alice"})
SIGN_MEMBER = ("post", "pki/{id}/etcd/sign/etcd-peer", {"csr": REQUEST, "common_name": "control-plane-1"})
WRITE_ROLE = ("post", f"{PKI}/roles/admin", {"allow_any_name": True})
READ_KEY = ("get", "giantnetes/data/secrets/{id}/service-account", None)
WRITE_KEY = ("post", "giantnetes/data/secrets/new/service-account", {"data": {"private": "x"}})
DESTROY_KEY = ("delete", "giantnetes/metadata/secrets/{id}/encryption", None)
DELETE_ROLE = ("delete", f"{PKI}/roles/user-x", None)
MOUNT = ("post", "sys/mounts/pki/new/etcd", {"type": "pki"})
UNMOUNT = ("delete", "sys/mounts/pki/none/etcd", None)
LIST_MOUNTS = ("get", "sys/mounts", None)
PIN = ("post", "giantnetes/data/clusters/default/new", {"data": {"clusterId": "x"}})
READ_PIN = ("get", "giantnetes/data/clusters/default/demo", None)
RECORD = ("post", "giantnetes/data/issuances/{id}/workers-1", {"data": {"instanceId": "x"}})
FORGET = ("delete", "giantnetes/metadata/issuances/{id}/workers-1", None)
CLAIM = ("post", "giantnetes/data/claims/network/127.64.0.0-24", {"data": {"owner": "x"}})
ENROL = ("post", "giantnetes/data/hypervisors/default/new", {"data": {"mark": "open"}})
READ_HYPERVISOR = ("get", "giantnetes/data/hypervisors/default/h1", None)
LIST_HYPERVISORS = ("list", "giantnetes/metadata/hypervisors/default", None)
PLACE: Request = ("post", "giantnetes/data/placements/{id}", {"data": {"machines": {}}})
COUNT: Request = ("post", "giantnetes/data/quotas/acme", {"data": {"clusters": {}}})
READ_PLACES = ("get", "giantnetes/data/placements/{id}", None)
LIST_PINS = ("list", "giantnetes/metadata/clusters/default", None)
BESIDE_ENTRIES = [PIN, CLAIM, ENROL, READ_HYPERVISOR, LIST_HYPERVISORS, PLACE, READ_PLACES, COUNT, LIST_PINS]
OF_THE_REGISTRY = [READ_PIN, *BESIDE_ENTRIES]
OF_AUTHORITIES_AND_KEYS: list[Request] = [
    *(WRITE_ROLE, DELETE_ROLE, READ_KEY, WRITE_KEY, DESTROY_KEY, RECORD, FORGET, MOUNT, UNMOUNT, LIST_MOUNTS)
]

OF_OTHERS: dict[Task, list[Request]] = {
    Task.MOUNT_ADMIN: [SIGN, READ_KEY, WRITE_KEY, RECORD, *OF_THE_REGISTRY],
    Task.SIGNER: [
        WRITE_ROLE,
        DELETE_ROLE,
        READ_KEY,
        WRITE_KEY,
        DESTROY_KEY,
        FORGET,
        MOUNT,
        UNMOUNT,
        LIST_MOUNTS,
        *OF_THE_REGISTRY,
    ],
    Task.SEALER: [
        SIGN,
        WRITE_ROLE,
        DELETE_ROLE,
        DESTROY_KEY,
        RECORD,
        FORGET,
        MOUNT,
        UNMOUNT,
        LIST_MOUNTS,
        *OF_THE_REGISTRY,
    ],
    Task.REGISTRY: [SIGN, *OF_AUTHORITIES_AND_KEYS],
    Task.PLANNER: [SIGN, *OF_AUTHORITIES_AND_KEYS, *BESIDE_ENTRIES],
    Task.PROBER: [SIGN_NODE, SIGN_PERSON, SIGN_MEMBER, *OF_AUTHORITIES_AND_KEYS, *OF_THE_REGISTRY],
}

OF_NOBODY: list[Request] = [
    ("post", f"{PKI}/root/generate/exported", {"common_name": "x", "issuer_name": "root"}),
    ("post", f"{PKI}/root/generate/internal", {"common_name": "x", "issuer_name": "second"}),
    ("post", f"{PKI}/root/generate/internal", {"common_name": "x"}),
    ("post", f"{PKI}/root/rotate/internal", {"common_name": "x"}),
    ("post", f"{PKI}/root/sign-intermediate", {"csr": REQUEST, "common_name": "x"}),
    ("post", f"{PKI}/root/sign-self-issued", {"certificate": "x"}),
    ("post", f"{PKI}/sign-verbatim", {"csr": REQUEST}),
    ("post", f"{PKI}/sign-verbatim/admin", {"csr": REQUEST}),
    ("post", f"{PKI}/issue/admin", {"common_name": "kubernetes-admin"}),
    ("post", f"{PKI}/issuer/root/sign/admin", {"csr": REQUEST, "common_name": "kubernetes-admin"}),
    ("post", f"{PKI}/config/ca", {"pem_bundle": "x"}),
    ("delete", f"{PKI}/root", None),
    ("delete", f"{PKI}/roles/admin", None),
    ("delete", "pki/{id}/etcd/roles/user-x", None),
    ("get", f"{PKI}/roles/user-x", None),
    ("post", f"{PKI}/revoke", {"serial_number": "x"}),
    ("post", "sys/mounts/pki/new/etcd", {"type": "kv"}),
    ("post", "sys/mounts/elsewhere", {"type": "pki"}),
    ("delete", "sys/mounts/giantnetes", None),
    ("post", f"sys/mounts/{PKI}/tune", {"max_lease_ttl": "876000h"}),
    ("post", "sys/remount", {"from": PKI, "to": "pki/new/etcd"}),
    ("post", "giantnetes/data/secrets/{id}/encryption", {"data": {"key": "mine"}}),
    ("delete", "giantnetes/data/secrets/{id}/encryption", None),
    ("post", "giantnetes/destroy/secrets/{id}/encryption", {"versions": [1]}),
    ("delete", "giantnetes/metadata/clusters/default/demo", None),
    ("delete", "giantnetes/metadata/claims/network/127.64.0.0-24", None),
    ("delete", "giantnetes/metadata/hypervisors/default/h1", None),
    ("delete", "giantnetes/data/hypervisors/default/h1", None),
    ("post", "giantnetes/destroy/hypervisors/default/h1", {"versions": [1]}),
    ("delete", "giantnetes/metadata/quotas/acme", None),
    ("delete", "giantnetes/data/quotas/acme", None),
    ("delete", "giantnetes/metadata/placements/{id}", None),
    ("delete", "giantnetes/data/placements/{id}", None),
    ("post", "giantnetes/destroy/placements/{id}", {"versions": [1]}),
    ("get", "sys/policies/acl/signer", None),
    ("post", "sys/policies/acl/signer", {"policy": 'path "*" { capabilities = ["sudo"] }'}),
    ("get", "auth/approle/role/signer/role-id", None),
    ("post", "auth/approle/role/signer/secret-id", {}),
    ("post", "auth/token/create", {"policies": ["root"]}),
    ("put", "sys/seal", {}),
    ("get", "sys/raw/core/master", None),
    ("get", "sys/storage/raft/snapshot", None),
]


@pytest.fixture(scope="module")
def cluster(vault: Vault) -> ClusterContext:
    """A cluster that a leaky policy may harm."""
    return vault.made(new_cluster())


@pytest.fixture(scope="module")
def logins(bao: OpenBao) -> dict[Task, Any]:
    """A bare client of each task."""
    return {task: bao.login(task) for task in Task}


def denied(client: Any, cluster: ClusterContext, request: Request) -> None:
    method, path, body = request
    with pytest.raises(exceptions.Forbidden):
        client.adapter.request(method, f"/v1/{path.format(id=cluster.cluster_id)}", json=body)


def test_there_is_one_policy_for_each_task() -> None:
    assert {path.stem for path in POLICIES.glob("*.hcl")} == set(Task)


@pytest.mark.parametrize(
    ("task", "request_"),
    [(task, request) for task, requests in OF_OTHERS.items() for request in requests],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]} {value[1]}",
)
def test_a_task_can_not_do_the_work_of_another(
    logins: dict[Task, Any], cluster: ClusterContext, task: Task, request_: Request
) -> None:
    denied(logins[task], cluster, request_)


@pytest.mark.parametrize("request_", OF_NOBODY, ids=lambda request: f"{request[0]} {request[1]}")
@pytest.mark.parametrize("task", Task)
def test_nobody_can_go_past_the_roles_or_replace_what_lives(
    logins: dict[Task, Any], cluster: ClusterContext, task: Task, request_: Request
) -> None:
    denied(logins[task], cluster, request_)
