"""Who our activities are towards guest clusters: client certificates whose keys never leave memory."""

import threading
from dataclasses import dataclass, field
from datetime import datetime

from activities.keys import new_key, signing_request
from activities.vault.client import VaultClient
from activities.vault.clock import Clock, utc_now
from activities.vault.paths import authority_mount
from activities.vault.roles import SHORT_TTL_SECONDS
from activities.vault.signing import read_authority
from contracts.certificates import CERTIFICATES
from contracts.context import ClusterContext


@dataclass(frozen=True)
class ClientIdentity:
    """A client certificate with its key, and the CA that servers are checked against; PEM each."""

    cert_pem: str
    key_pem: str = field(repr=False)
    ca_pem: str
    not_after: datetime


@dataclass(frozen=True)
class _Cached:
    identity: ClientIdentity
    renew_at: datetime


class Identities:
    """Makes client certificates of workers, and keeps each in memory for half its life. Thread-safe."""

    def __init__(self, prober: VaultClient, now: Clock = utc_now) -> None:
        """Use the login of the task ``prober``. ``now`` is the clock that says what is half-way spent."""
        self._prober = prober
        self._now = now
        self._cached: dict[tuple[str, str], _Cached] = {}
        self._lock = threading.Lock()

    def client_certificate(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> ClientIdentity:
        """Return a certificate of kind ``name``, one of those that no machine holds.

        It is valid for ``ttl_seconds``, at most for ``SHORT_TTL_SECONDS``, or for at least half of that when it
        was made before. Raises ``ValueError`` for another name, and ``StepError`` with one of the codes of Vault.
        """
        if name not in SHORT_TTL_SECONDS:
            raise ValueError(f"{name} is held by machines; there are {', '.join(SHORT_TTL_SECONDS)}")
        key, now = (cluster.cluster_id, name), self._now()
        with self._lock:
            self._cached = {held: item for held, item in self._cached.items() if item.renew_at > now}
            cached = self._cached.get(key)
        if cached is not None:
            return cached.identity
        identity = self._make(cluster, name, min(ttl_seconds, SHORT_TTL_SECONDS[name]))
        with self._lock:
            self._cached[key] = _Cached(identity, now + (identity.not_after - now) / 2)
        return identity

    def _make(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> ClientIdentity:
        kind = CERTIFICATES[name]
        key = new_key()
        signed = self._prober.sign(
            authority_mount(cluster.cluster_id, kind.authority),
            name,
            signing_request(key),
            kind.common_name,
            {"ttl": f"{ttl_seconds}s", "exclude_cn_from_sans": True},
        )
        return ClientIdentity(
            cert_pem=signed.certificate,
            key_pem=key,
            ca_pem=read_authority(self._prober, cluster, kind.authority),
            not_after=signed.expires_at,
        )
