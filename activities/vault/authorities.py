"""A cluster's certificate authorities: one mount for each trust domain, with its roles."""

from functools import partial

import structlog
from temporalio import activity

from activities.parallel import gather
from activities.vault.client import VaultClient
from activities.vault.paths import authority_mount
from activities.vault.roles import ROOT_TTL, authority_roles, root_params
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import Authority, AuthorityFacts, AuthorityRequest, VaultCleanup

log = structlog.get_logger(__name__)


class Authorities:
    """Makes and removes CAs, as the task ``mount-admin``, which can sign nothing."""

    def __init__(self, admin: VaultClient) -> None:
        """Use the login of ``mount-admin``."""
        self._admin = admin

    @activity.defn(name=names.ENSURE_AUTHORITY)
    def ensure(self, request: AuthorityRequest) -> AuthorityFacts:
        """Make one CA with its roles, complete a half-made one, or find the whole.

        Never a second root: its name is given to it when it is made, and a name is taken once in a mount.
        """
        cluster, authority = request.cluster, request.authority
        mount = authority_mount(cluster.cluster_id, authority)
        roles = authority_roles(cluster, authority)
        known = self._admin.authority_certificate(mount)
        steps = [partial(self._admin.write_role, mount, name, role) for name, role in roles.items()]
        if known is None:
            self._admin.mount_authority(mount, f"{cluster.namespace}/{cluster.name}", ROOT_TTL)
            steps.insert(0, partial(self._root, mount, cluster, authority))
        gather(steps)
        certificate = known or self._admin.authority_certificate(mount)
        if certificate is None:
            raise StepError(ErrorCode.VAULT_UNAVAILABLE, f"Vault: {mount} was removed while it was being made")
        log.info("authority ensured", mount=mount, made=known is None, roles=len(roles))
        return AuthorityFacts(authority=authority, certificate=certificate)

    @activity.defn(name=names.DELETE_AUTHORITIES)
    def delete(self, request: VaultCleanup) -> None:
        """Remove the CAs of a cluster with their keys. None there is fine."""
        mounts = [authority_mount(request.cluster.cluster_id, authority) for authority in Authority]
        gather([partial(self._admin.unmount, mount) for mount in mounts])
        log.info("authorities deleted", cluster_id=request.cluster.cluster_id)

    def _root(self, mount: str, cluster: ClusterContext, authority: Authority) -> None:
        subject = f"{cluster.name} {authority} CA"
        self._admin.generate_root(mount, subject, root_params(cluster.cluster_id))
