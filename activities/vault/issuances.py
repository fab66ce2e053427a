"""Which machine certificates were signed for, by the id of the instance whose channel the request came through."""

from datetime import datetime
from functools import partial
from typing import Any

from pydantic import ValidationError

from activities.parallel import gather
from activities.vault.client import VaultClient
from activities.vault.clock import Clock, utc_now
from activities.vault.paths import issuance_path
from activities.vault.records import Stored
from api.cluster import CertificatesSpec
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.converter import describe
from contracts.errors import StepError
from contracts.machines import machine_names
from contracts.vault import SigningRequest


class Issuance(Stored):
    """What one machine was given at one time: serial numbers (hex with colons) by the certificates' names.

    ``instance_id`` is the uuid of a virtual machine's domain, or what another provider has in its place.
    ``certificates`` is what the cluster's spec said of certificates then, which changes while a cluster lives.
    """

    instance_id: str
    issued_at: datetime
    serials: dict[str, str]
    certificates: dict[str, Any] | None = None


def record_issuance(
    signer: VaultClient, request: SigningRequest, serials: dict[str, str], now: Clock = utc_now
) -> None:
    """Write down what was signed for a request, as the task ``signer``. Raises ``StepError``.

    Two attempts are two versions, and none is lost; the KV store keeps the last ten of a machine.
    """
    said = request.cluster.spec.certificates.model_dump(mode="json", by_alias=True)
    issuance = Issuance(instance_id=request.instance_id, issued_at=now(), serials=serials, certificates=said)
    path = issuance_path(request.cluster.cluster_id, request.machine.name)
    signer.write(path, issuance.as_data(), version=None)


def as_issued_last(signer: VaultClient, cluster: ClusterContext) -> ClusterContext:
    """Return a cluster with what its spec said of certificates when the last one was signed for any machine.

    As it is when nothing was recorded. Uses the task ``signer``. Raises ``StepError``: ConfigurationBroken for
    what this version doesn't understand.
    """
    paths = [issuance_path(cluster.cluster_id, machine) for machine in machine_names(cluster.spec)]
    found = [
        Issuance.model_validate(record.data)
        for record in gather(partial(signer.read, path) for path in paths)
        if record
    ]
    said = [issuance for issuance in found if issuance.certificates is not None]
    if not said:
        return cluster
    newest = max(said, key=lambda issuance: issuance.issued_at)
    try:
        certificates = CertificatesSpec.model_validate(newest.certificates)
    except ValidationError as error:
        raise StepError(
            ErrorCode.CONFIGURATION_BROKEN,
            f"the last issuance of {cluster.cluster_id} has settings that this version refuses: "
            f"{'; '.join(describe(error))}",
        ) from None
    spec = cluster.spec.model_copy(update={"certificates": certificates})
    return cluster.model_copy(update={"spec": spec})
