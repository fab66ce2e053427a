"""Messages to the activities that run next to Vault."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from contracts.context import ClusterContext
from contracts.machines import ClusterReference, MachinePlan
from contracts.model import WireModel


class Authority(StrEnum):
    """A trust domain of a cluster: a self-signed CA in a mount of its own."""

    KUBERNETES = "kubernetes"
    ETCD = "etcd"
    FRONT_PROXY = "front-proxy"


class ClaimRequest(WireModel):
    """Pins a cluster id and claims a machine network for a cluster; finds what was claimed before.

    ``cluster_id`` in ``cluster`` is a proposal: the pinned one wins.
    """

    cluster: ClusterContext


class Claims(WireModel):
    """What a cluster holds.

    ``adopted`` says that the id had been pinned before, ``complete`` that a create of it has succeeded.
    """

    cluster_id: str
    machine_network: str
    adopted: bool = False
    complete: bool = False


class AuthorityRequest(WireModel):
    """Asks for one CA with its roles."""

    cluster: ClusterContext
    authority: Authority


class AuthorityFacts(WireModel):
    """A CA's own certificate, PEM."""

    authority: Authority
    certificate: str


class SigningRequest(WireModel):
    """Asks for certificates of one machine.

    ``requests`` maps names of ``contracts.certificates.CERTIFICATES`` to PKCS #10 requests, of which only the
    public key counts. ``instance_id`` is recorded: the machine that the requests came from. ``reason`` is why.
    """

    cluster: ClusterContext
    machine: MachinePlan
    instance_id: str
    requests: dict[str, str] = Field(default_factory=dict)
    reason: str = "the machine is new"


class Issued(WireModel):
    """A certificate that a machine was given.

    ``serial`` is in hexadecimal with colons; ``credential`` is the SHA-256 of its DER in hexadecimal, by which
    audit logs of Kubernetes name it, if it is ``audited``; ``wanted`` is what it was made for
    (``contracts.certificates.wanted``), and ``reason`` why. ``authority_key`` is the identifier of its CA's key in
    hexadecimal (RFC 5280, 4.2.1.1), empty when nobody noted it.
    """

    serial: str
    issued_at: datetime
    expires_at: datetime
    credential: str
    wanted: str
    audited: bool = False
    starts_at: datetime | None = None
    reason: str = ""
    authority_key: str = ""


class SignedCertificates(WireModel):
    """Files for the machine: ``<name>.crt`` for each request, and ``<authority>-ca.crt`` for each CA it needs.

    ``expires_at`` is when the first of those that were asked for ends; ``issued`` tells of each of them.
    """

    files: dict[str, str] = Field(default_factory=dict)
    expires_at: datetime | None = None
    issued: dict[str, Issued] = Field(default_factory=dict)


class SealRequest(WireModel):
    """Asks for the machine's secrets, sealed to the certificate that it made."""

    cluster: ClusterContext
    machine: MachinePlan
    sealing_certificate: str


class SealedSecrets(WireModel):
    """A CMS envelope (RFC 5652), PEM; only the machine can open it."""

    envelope: str


class UserCertificateRequest(WireModel):
    """Asks for a client certificate of a named person. ``request`` is PKCS #10; only its key counts."""

    cluster: ClusterContext
    request: str
    user: str
    groups: list[str] = Field(default_factory=list)
    ttl_seconds: int = 3600
    break_glass: bool = False


class UserCertificate(WireModel):
    """A signed client certificate (PEM), with what a kubeconfig needs beside it."""

    certificate: str
    authority: str
    endpoint: str
    serial: str
    not_after: str


class VaultCleanup(WireModel):
    """Names a cluster whose mounts, secrets, claims and registry entry are to go.

    With ``keep_network`` the claim on its network stays: something of the cluster may still use that.
    """

    cluster: ClusterReference
    keep_network: bool = False
