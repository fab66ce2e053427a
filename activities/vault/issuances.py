"""Which machine certificates were signed for, by the id of the instance whose channel the request came through."""

from datetime import datetime

from activities.vault.client import VaultClient
from activities.vault.clock import Clock, utc_now
from activities.vault.paths import issuance_path
from activities.vault.registry import Stored
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.vault import SigningRequest

_RACES = 5
"""Times that a record is read anew because it was changed between reading and writing."""


class Issuance(Stored):
    """What one machine was given at one time: serial numbers (hex with colons) by the certificates' names.

    ``instance_id`` is the uuid of a virtual machine's domain, or what another provider has in its place.
    """

    instance_id: str
    issued_at: datetime
    serials: dict[str, str]


class Issuances:
    """Records what was signed, as the task ``signer``. The KV store keeps the last ten records of a machine."""

    def __init__(self, signer: VaultClient, now: Clock = utc_now) -> None:
        """Use the login of ``signer``. ``now`` is the clock of the records."""
        self._signer = signer
        self._now = now

    def record(self, request: SigningRequest, serials: dict[str, str]) -> None:
        """Write down what was signed for a request. Raises ``StepError``."""
        path = issuance_path(request.cluster.cluster_id, request.machine.name)
        issuance = Issuance(instance_id=request.instance_id, issued_at=self._now(), serials=serials)
        for _ in range(_RACES):
            found = self._signer.read(path)
            if self._signer.write(path, issuance.as_data(), found.version if found else 0):
                return
        raise StepError(ErrorCode.VAULT_UNAVAILABLE, f"{path} is being changed by another attempt")
