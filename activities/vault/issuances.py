"""Which machine certificates were signed for, by the id of the instance whose channel the request came through."""

from datetime import datetime

from activities.vault.client import VaultClient
from activities.vault.clock import Clock, utc_now
from activities.vault.paths import issuance_path
from activities.vault.records import Stored
from contracts.vault import SigningRequest


class Issuance(Stored):
    """What one machine was given at one time: serial numbers (hex with colons) by the certificates' names.

    ``instance_id`` is the uuid of a virtual machine's domain, or what another provider has in its place.
    """

    instance_id: str
    issued_at: datetime
    serials: dict[str, str]


def record_issuance(
    signer: VaultClient, request: SigningRequest, serials: dict[str, str], now: Clock = utc_now
) -> None:
    """Write down what was signed for a request, as the task ``signer``. Raises ``StepError``.

    Two attempts are two versions, and none is lost; the KV store keeps the last ten of a machine.
    """
    issuance = Issuance(instance_id=request.instance_id, issued_at=now(), serials=serials)
    path = issuance_path(request.cluster.cluster_id, request.machine.name)
    signer.write(path, issuance.as_data(), version=None)
