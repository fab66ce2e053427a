"""A cluster's own keys in the KV store: made once, given only to control plane machines, sealed."""

from collections.abc import Callable
from functools import partial

import structlog
from temporalio import activity

from activities.parallel import gather
from activities.vault import sealing
from activities.vault.client import VaultClient
from activities.vault.paths import ENCRYPTION, SERVICE_ACCOUNT, issuance_folder, secret_path
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.machines import MachineRole
from contracts.vault import ClaimRequest, SealedSecrets, SealRequest, VaultCleanup

log = structlog.get_logger(__name__)

_MAKERS: dict[str, Callable[[], dict[str, str]]] = {
    SERVICE_ACCOUNT: sealing.new_service_account_key,
    ENCRYPTION: sealing.new_encryption_key,
}


class Secrets:
    """Makes, seals and destroys keys.

    The task ``sealer`` may create and read but never overwrite or destroy; ``mount-admin`` may destroy but
    not read. So no single login can replace the keys of a living cluster.
    """

    def __init__(self, sealer: VaultClient, admin: VaultClient, registry: Registry) -> None:
        """Use the logins of both tasks. ``registry`` is told of a deletion."""
        self._sealer = sealer
        self._admin = admin
        self._registry = registry

    @activity.defn(name=names.ENSURE_SECRETS)
    def ensure(self, request: ClaimRequest) -> None:
        """Make the service account keys and the encryption key, where they are not there yet."""
        cluster_id = request.cluster.cluster_id
        gather([partial(self._ensure_one, secret_path(cluster_id, kind), make) for kind, make in _MAKERS.items()])

    @activity.defn(name=names.SEAL_SECRETS)
    def seal(self, request: SealRequest) -> SealedSecrets:
        """Return the keys in an envelope that only the machine can open.

        Raises ``StepError``: Internal for a machine that is no control plane slot or keys that are not made
        yet, MachineFailed for a certificate that can't be sealed to.
        """
        if request.machine.role is not MachineRole.CONTROL_PLANE:
            raise StepError(
                ErrorCode.INTERNAL, f"{request.machine.name} is a node: it gets no keys of the cluster"
            )
        paths = [secret_path(request.cluster.cluster_id, kind) for kind in (SERVICE_ACCOUNT, ENCRYPTION)]
        service_account, encryption = gather([partial(self._read, path) for path in paths])
        try:
            envelope = sealing.seal(sealing.secret_files(service_account, encryption), request.sealing_certificate)
        except (ValueError, TypeError) as error:
            raise StepError(
                ErrorCode.MACHINE_FAILED, f"{request.machine.name} sent an unusable sealing certificate: {error}"
            ) from None
        log.info("secrets sealed", cluster_id=request.cluster.cluster_id, machine=request.machine.name)
        return SealedSecrets(envelope=envelope)

    @activity.defn(name=names.DELETE_SECRETS)
    def delete(self, request: VaultCleanup) -> None:
        """Destroy the keys of a cluster and the records of what was signed; the first of all removals.

        None there is fine.
        """
        self._registry.mark_deleting(request.cluster)
        cluster_id = request.cluster.cluster_id
        paths = [secret_path(cluster_id, kind) for kind in _MAKERS]
        issued = issuance_folder(cluster_id)
        paths += [f"{issued}/{machine}" for machine in self._admin.keys(issued)]
        gather([partial(self._admin.destroy, path) for path in paths])
        log.info("secrets deleted", cluster_id=cluster_id)

    def _ensure_one(self, path: str, make: Callable[[], dict[str, str]]) -> None:
        if self._sealer.read(path) is None and self._sealer.write(path, make(), version=0):
            log.info("secret made", path=path)

    def _read(self, path: str) -> dict[str, str]:
        record = self._sealer.read(path)
        if record is None:
            raise StepError(ErrorCode.INTERNAL, f"Vault: there is nothing at {path}: EnsureSecrets comes first")
        return dict(record.data)
