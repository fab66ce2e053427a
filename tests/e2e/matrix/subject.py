"""The cluster under test, with everything that is presented to it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from activities.vault import AppRoles, Task, VaultSettings, worker_identities
from activities.vault.authorities import Authorities
from activities.vault.roles import SHORT_TTL_SECONDS
from activities.vault.signing import read_authority
from api.status import ClusterStatus
from contracts.certificates import CERTIFICATES
from contracts.context import ClusterContext
from contracts.machines import ClusterReference, MachinePlan
from contracts.vault import Authority, AuthorityRequest, UserCertificate, VaultCleanup
from deploy.stack import Stack
from planning.create import CONTROL_PLANE, machine_groups
from tests.e2e.matrix.credentials import Credential, Signer, held, made_up
from tests.support.clusters import Handle
from tests.support.resources import cluster
from workers.cli.kubeconfig import signing_request

POOL = "workers"
SPEC = {"provider": "local", "nodePools": [{"name": POOL, "replicas": 1}]}
FOREIGN_ID = "cforeign0000"
USER = "jane"


@dataclass(frozen=True)
class Subject:
    """A cluster of one control plane machine and one node, and the CAs of another cluster."""

    stack: Stack
    context: ClusterContext

    @property
    def control_plane(self) -> MachinePlan:
        """The control plane machine."""
        return machine_groups(self.context.spec)[CONTROL_PLANE][0]

    @property
    def node(self) -> MachinePlan:
        """The node."""
        return machine_groups(self.context.spec)[POOL][0]

    def folder(self, machine: MachinePlan) -> Path:
        """Return the folder of a machine."""
        return self.stack.state / "machines" / self.context.cluster_id / machine.name

    @cached_property
    def vault(self) -> VaultSettings:
        """The stack's OpenBao with its logins."""
        return VaultSettings(self.stack.vault_address, AppRoles(self.stack.approle_file("signer").parent))

    @cached_property
    def signer(self) -> Signer:
        """The cluster's CAs."""
        return Signer(self.vault.client(Task.SIGNER), self.context)

    @cached_property
    def foreign_signer(self) -> Signer:
        """The CAs of another cluster, which has the same name, spec and addresses."""
        return Signer(self.signer.vault, self.context.model_copy(update={"cluster_id": FOREIGN_ID}))

    @cached_property
    def authorities(self) -> dict[Authority, str]:
        """The certificates of the cluster's CAs, PEM."""
        return {item: read_authority(self.signer.vault, self.context, item) for item in Authority}

    @cached_property
    def foreign_authorities(self) -> dict[Authority, str]:
        """Those of the other cluster."""
        signer = self.foreign_signer
        return {item: read_authority(signer.vault, signer.cluster, item) for item in Authority}

    def make_foreign(self) -> None:
        """Make the other cluster's CAs."""
        authorities = Authorities(self.vault.client(Task.MOUNT_ADMIN))
        for item in Authority:
            authorities.ensure(AuthorityRequest(cluster=self.foreign_signer.cluster, authority=item))

    def remove_foreign(self) -> None:
        """Remove them again."""
        reference = ClusterReference(cluster_id=FOREIGN_ID)
        Authorities(self.vault.client(Task.MOUNT_ADMIN)).delete(VaultCleanup(cluster=reference))


def subject_of(stack: Stack, status: ClusterStatus) -> Subject:
    """Return the cluster that a status is about."""
    address = urlsplit(status.endpoint or "").hostname or ""
    context = ClusterContext(
        cluster_id=status.cluster_id or "",
        namespace=status.namespace,
        name=status.name,
        spec=cluster(status.name, **SPEC).spec,
        machine_network=f"{address.rpartition('.')[0]}.0/24",
    )
    return Subject(stack, context)


async def all_credentials(subject: Subject, handle: Handle) -> dict[str, Credential]:
    """Return one credential for each row of the table."""
    expired = await _expired(subject)
    foreign = subject.foreign_signer
    return {
        **held(subject.folder(subject.control_plane)),
        **held(subject.folder(subject.node)),
        **_ours(subject),
        "user": await user_credential(handle),
        "foreign-super-admin": foreign.issue("super-admin"),
        "foreign-etcd-client": foreign.issue("etcd-healthcheck-client"),
        "foreign-front-proxy": foreign.issue("front-proxy-client"),
        "self-signed": made_up(),
        "forged": made_up(Credential(subject.authorities[Authority.KUBERNETES]).parsed.subject),
        **expired,
        "none": Credential(),
    }


def _ours(subject: Subject) -> dict[str, Credential]:
    """Return the certificates that no machine holds, made as our activities make them."""
    source, found = worker_identities(subject.vault), {}
    for name in (name for name, kind in CERTIFICATES.items() if kind.holder is None):
        identity = source.client_certificate(subject.context, name, SHORT_TTL_SECONDS[name])
        found[name] = Credential(identity.cert_pem, identity.key_pem)
    return found


async def user_credential(handle: Handle) -> Credential:
    """Ask the cluster's workflow for a certificate, as ``g8s kubeconfig`` does."""
    request, key = signing_request(USER, [], 600, break_glass=False)
    answer = await handle.execute_update("kubeconfig", request, result_type=UserCertificate)
    return Credential(answer.certificate, key)


async def _expired(subject: Subject) -> dict[str, Credential]:
    """Have one client of each trust domain signed for a second, and wait that out."""
    kinds = {
        "super-admin": "super-admin",
        "etcd-client": "etcd-healthcheck-client",
        "front-proxy": "front-proxy-client",
    }
    found = {f"expired-{short}": subject.signer.issue(kind, ttl_seconds=1) for short, kind in kinds.items()}
    for credential in found.values():
        await over(credential)
    return found


async def over(credential: Credential) -> None:
    """Wait until a certificate is valid no more."""
    while datetime.now(UTC) <= credential.parsed.not_valid_after_utc:
        await asyncio.sleep(0.05)
