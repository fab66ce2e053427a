"""Messages about certificates for clients of clusters, which ``Certificate`` resources ask for."""

from datetime import datetime

from api.certificate import CertificateSpec
from contracts.context import ClusterContext
from contracts.model import WireModel
from contracts.reporting import ResourceReference

ISSUE_CERTIFICATE = "IssueCertificate"
REMOVE_CERTIFICATE = "RemoveCertificate"


def issue_id(resource: ResourceReference, generation: int) -> str:
    """Return the id of what works on a ``Certificate`` as it is at ``generation``: one at a time."""
    return f"certificate/{resource.namespace}/{resource.name}/{resource.uid[:8]}/{generation}"


def removal_id(resource: ResourceReference) -> str:
    """Return the id of what removes the Secret of a ``Certificate``."""
    return f"certificate/{resource.namespace}/{resource.name}/{resource.uid[:8]}/remove"


class IssueRequest(WireModel):
    """Asks for what a ``Certificate`` says at ``generation``, for a client of ``cluster``."""

    resource: ResourceReference
    generation: int
    spec: CertificateSpec
    cluster: ClusterContext


class HeldCertificate(WireModel):
    """What a Secret holds: a certificate whose key is beside it.

    ``serial`` is in hexadecimal with colons, ``authority`` the CA's certificate (PEM) that is beside it,
    ``wanted`` what it was made for (``planning.issuing.wanted``), ``reason`` why it was issued.
    """

    serial: str
    not_before: datetime
    not_after: datetime
    authority: str
    wanted: str
    reason: str


class KeyRequest(WireModel):
    """Asks for a new key when there is a reason for one; ``authority`` is the CA's certificate, PEM."""

    resource: ResourceReference
    generation: int
    spec: CertificateSpec
    authority: str


class KeyAnswer(WireModel):
    """``reason`` is why a certificate is due, empty when none is; ``request`` (PKCS #10, PEM) has the new key.

    ``renewing`` says that the one that is held says the same already.
    """

    held: HeldCertificate | None = None
    reason: str = ""
    request: str = ""
    renewing: bool = False


class ClientSigningRequest(WireModel):
    """Asks for a client's certificate. Of ``request`` only the key counts.

    ``renewing`` says that one is there which says the same: its names were looked for at other clusters before.
    """

    resource: ResourceReference
    spec: CertificateSpec
    cluster: ClusterContext
    request: str
    renewing: bool = False


class ClientCertificate(WireModel):
    """A client's certificate, PEM."""

    certificate: str


class StoreRequest(WireModel):
    """Has a certificate (PEM) put into the resource's Secret, beside the key that was made for it."""

    resource: ResourceReference
    generation: int
    spec: CertificateSpec
    authority: str
    certificate: str
    reason: str


class StoreAnswer(WireModel):
    """What the Secret holds now; None when the key is gone that the certificate was for."""

    held: HeldCertificate | None = None


class IssuedCertificate(WireModel):
    """What the resource's Secret holds."""

    held: HeldCertificate
