"""Who may do what in a real cluster, by certificate and by OpenID Connect, and what ends that."""

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.identity import mutual_tls, server_tls
from activities.vault import AppRoles, Task, VaultSettings
from activities.vault.signing import read_authority
from activities.vault.users import UserCertificates
from api.status import Phase
from contracts.certificates import CLUSTER_ADMINS, USER_FACING_ROLES
from contracts.context import ClusterContext
from contracts.vault import Authority, UserCertificateRequest
from contracts.workflows import CertificatesAnswer
from deploy.stack import Stack, hostpki
from tests.e2e.people import G8S, kubectl, run
from tests.support.clusters import delete, start, until_created
from tests.support.front import Front
from tests.support.guest import Identity
from tests.support.issuer import CLIENT_ID, Issuer
from tests.support.leaks import LeakSearch
from workers.cli.kubeconfig import signing_request

NAME = "granted"
SECONDS = 30
SHORT_SECONDS = 8
REMEMBERED_SECONDS = 10
"""How long an API server takes a token's word again without looking (apiserver's TokenSuccessCacheTTL)."""
ROUNDING_SECONDS = 3

PODS = "/api/v1/pods"
NAMESPACES = "/api/v1/namespaces?dryRun=All"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
BINDING = f"{RBAC}/clusterrolebindings/giantnetes:viewers"
EVERYBODY = set(USER_FACING_ROLES)
RIGHTS: dict[tuple[str, str], set[str]] = {
    ("GET", PODS): EVERYBODY,
    ("GET", "/api/v1/nodes"): EVERYBODY,
    ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"): EVERYBODY,
    ("GET", "/api/v1/namespaces/default/secrets"): {"developers", "admins"},
    ("POST", "/api/v1/namespaces/default/configmaps?dryRun=All"): {"developers", "admins"},
    ("POST", f"{RBAC}/namespaces/default/roles?dryRun=All"): {"admins"},
    ("POST", NAMESPACES): set(),
    ("GET", f"{RBAC}/clusterroles"): set(),
    ("POST", f"{RBAC}/clusterrolebindings?dryRun=All"): set(),
}
"""Who may do what; to others it is forbidden."""

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Granted:
    """A cluster of one control plane machine that lets in people with certificates, and those of an issuer."""

    context: ClusterContext
    vault: VaultSettings
    opened: ExitStack

    def certified(self, *groups: str, seconds: int = 600) -> Identity:
        """Return a certificate for a person in groups, with its key."""
        request, key = signing_request("jane", list(groups), 60, break_glass=True)
        wanted = {**request.model_dump(), "ttl_seconds": seconds}
        users = UserCertificates(self.vault.client(Task.MOUNT_ADMIN), self.vault.client(Task.SIGNER))
        given = users.sign(UserCertificateRequest(cluster=self.context, **wanted))
        return Identity(given.certificate, key, given.authority, datetime.fromisoformat(given.not_after))

    def client(self, identity: Identity) -> KubernetesClient:
        """Return a client with a certificate, and connections of its own."""
        return self.opened.enter_context(KubernetesClient(self.context.endpoint, mutual_tls(identity)))

    def bearer(self, token: str) -> KubernetesClient:
        """Return a client with a token."""
        trust = server_tls(read_authority(self.vault.client(Task.SIGNER), self.context, Authority.KUBERNETES))
        return self.opened.enter_context(KubernetesClient(self.context.endpoint, trust, token))


@pytest.fixture(scope="module")
def front(stack: Stack) -> Iterator[Front]:
    """TLS in front of OpenBao, with a certificate of a CA that nobody else knows."""
    with Front(stack, stack.ports.openbao, mutual=False).serving() as serving:
        yield serving


@pytest.fixture(scope="module")
def issuer(stack: Stack, front: Front, root: Any) -> Iterator[Issuer]:
    """OpenBao as an issuer; vera and victor are viewers, and so is the leaver, for now."""
    found = Issuer(root, stack.vault_address, f"https://127.0.0.1:{front.port}")
    for person in ("vera", "victor", "nobody", "mallory", "leaver"):
        found.enrol(person)
    found.group("viewers", "vera", "victor", "leaver")
    found.group("system:masters", "mallory")
    yield found
    found.close()


@pytest.fixture(scope="module")
async def granted(stack: Stack, client: Client, issuer: Issuer, leak_search: LeakSearch) -> AsyncIterator[Granted]:
    """The cluster, made."""
    authority = (hostpki.pki(stack) / "kubernetes-ca.crt").read_text()
    oidc = {"issuerURL": issuer.url, "clientID": CLIENT_ID, "certificateAuthority": authority}
    handle = await start(client, NAME, provider="local", nodePools=[], apiServer={"oidc": oidc})
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    leak_search.collect(created.cluster_id or "")
    known = await handle.query("certificates", result_type=CertificatesAnswer)
    vault = VaultSettings(stack.vault_address, AppRoles(stack.approle_file("signer").parent))
    with ExitStack() as opened:
        yield Granted(known.context, vault, opened)
    assert "nothing is left" in await delete(handle)


def asked(client: KubernetesClient, method: str = "GET", path: str = PODS) -> int:
    """Return how the API server answers a request: 200, 201, 401 or 403."""
    body = {
        "metadata": {"name": "wanted"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    }
    return client.ask(method, path, None if method == "GET" else body).status


def until(client: KubernetesClient, wanted: int) -> int:
    """Return how the API server answers a client, asked again and again until it is as wanted or time is up."""
    deadline = time.monotonic() + SECONDS
    while (found := asked(client)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def end_of(token: str) -> float:
    """Return when a token ends (RFC 7519, section 4.1.4)."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return float(claims["exp"])


@pytest.mark.parametrize("group", USER_FACING_ROLES)
def test_each_group_may_do_what_its_role_says(granted: Granted, group: str) -> None:
    client = granted.client(granted.certified(group))
    done = {"GET": 200, "POST": 201}
    expected = {request: done[request[0]] if group in groups else 403 for request, groups in RIGHTS.items()}
    assert {request: asked(client, *request) for request in RIGHTS} == expected


def test_a_viewer_s_kubeconfig_works_as_it_is(granted: Granted, tmp_path: Path) -> None:
    del granted
    run(G8S, "kubeconfig", NAME, "--user", "jane", "--group", "viewers", "--output", tmp_path / "config")
    assert "service/kubernetes" in kubectl(tmp_path / "config", "get", "services,nodes", "--output", "name")


def test_a_certificate_that_has_ended_opens_nothing(granted: Granted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.vault.users.MIN_TTL_SECONDS", 1)
    identity = granted.certified("viewers", seconds=SHORT_SECONDS)
    kept = granted.client(identity)
    assert asked(kept) == 200
    assert until(kept, 401) == 401
    assert datetime.now(UTC) >= identity.not_after
    assert asked(granted.client(identity)) == 401


def test_a_binding_that_is_removed_ends_what_it_gave_and_no_more(granted: Granted, issuer: Issuer) -> None:
    admin = granted.client(granted.certified(CLUSTER_ADMINS))
    viewer, both = (granted.client(granted.certified("viewers", *more)) for more in ((), ("developers",)))
    vera = granted.bearer(issuer.token("vera"))
    kept = admin.get(BINDING)
    assert [asked(client) for client in (viewer, both, vera)] == [200, 200, 200]
    admin.ask("DELETE", BINDING)
    assert [until(client, 403) for client in (viewer, vera)] == [403, 403]
    assert asked(both) == 200
    admin.create(BINDING.rpartition("/")[0], {**kept, "metadata": {"name": kept["metadata"]["name"]}})
    assert [until(client, 200) for client in (viewer, vera)] == [200, 200]


def test_an_issuer_s_groups_may_what_their_roles_say(granted: Granted, issuer: Issuer) -> None:
    vera = granted.bearer(issuer.token("vera"))
    assert asked(vera) == 200
    assert asked(vera, "POST", NAMESPACES) == 403


@pytest.mark.parametrize("person", ["nobody", "mallory"])
def test_who_is_in_none_of_them_may_nothing(granted: Granted, issuer: Issuer, person: str) -> None:
    assert asked(granted.bearer(issuer.token(person))) == 403


def test_a_token_for_somebody_else_opens_nothing(granted: Granted, issuer: Issuer) -> None:
    assert asked(granted.bearer(issuer.token("vera", "another-audience"))) == 401


def test_a_token_that_has_ended_opens_nothing(granted: Granted, issuer: Issuer) -> None:
    shown, unshown = issuer.token("vera", "short"), issuer.token("victor", "short")
    kept = granted.bearer(shown)
    assert asked(kept) == 200
    time.sleep(max(end_of(unshown) - time.time(), 0) + 0.1)
    assert asked(granted.bearer(unshown)) == 401
    assert until(kept, 401) == 401
    assert time.time() < end_of(shown) + REMEMBERED_SECONDS + ROUNDING_SECONDS


def test_who_leaves_a_group_keeps_what_earlier_tokens_say(granted: Granted, issuer: Issuer) -> None:
    before = granted.bearer(issuer.token("leaver"))
    assert asked(before) == 200
    issuer.group("viewers", "vera", "victor")
    assert asked(granted.bearer(issuer.token("leaver"))) == 403
    assert asked(before) == 200
