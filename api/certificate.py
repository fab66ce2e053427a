"""The ``Certificate`` resource: a leaf certificate of a cluster, for one of its components or for a client of it.

Rules are said twice, to Python and to the API server, as in ``api.cluster``.
"""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.hosts import DnsName, IpAddress
from api.model import RESERVED_PREFIXES, ApiModel, DnsLabel
from api.resource import Condition, Short, Time
from api.schema import keyed_by, validations
from api.status import StatusModel

MAX_NAMES = 32

_RESERVED = f"{list(RESERVED_PREFIXES)}.exists(prefix, %s.startsWith(prefix))"
_NO_COLON = "commonName: names with a colon are those of components, and of logins by OIDC"
_SHOWN = "self.machine != ''"
_NO_RESERVED = f"names that begin with {' or '.join(RESERVED_PREFIXES)} are taken by the cluster itself"


Subject = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=64)]
"""A printable part of a subject: X.520 bounds a common name at 64 characters."""


MachineName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$", max_length=63)]
"""Name of a machine, or nothing."""


class CertificateSpec(ApiModel):
    """What the certificate says, and for how long.

    One with a machine shows a certificate that a component there has, and nothing is issued for it.
    """

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("self.clusterName == oldSelf.clusterName", "clusterName can't be changed: make another one"),
            ("self.machine == oldSelf.machine", "machine can't be changed: those of machines are shown only"),
            (
                "self.machine == '' || self == oldSelf",
                "those of machines are shown only: change spec.certificates of their Cluster",
            ),
            (f"{_SHOWN} || !self.commonName.contains(':')", _NO_COLON),
            (
                f"{_SHOWN} || !self.organizations.exists(name, {_RESERVED % 'name'})",
                f"organizations: {_NO_RESERVED}",
            ),
            (
                f"{_SHOWN} || self.allowBareDomains || self.dnsNames.all(name, name.contains('.'))",
                "dnsNames: a name without a dot needs allowBareDomains",
            ),
        )
    )

    cluster_name: DnsLabel = Field(description="The Cluster of this namespace whose authority signs it.")
    component: DnsLabel = Field(description="What it is for, such as prometheus.")
    machine: MachineName = Field(
        default="",
        description="The machine that has it, if it is only shown: nothing of it can be changed then.",
    )
    common_name: Subject = Field(description="The user that Kubernetes takes its holder for.")
    organizations: list[Subject] = Field(
        default_factory=list, max_length=16, description="The groups that Kubernetes takes its holder to be in."
    )
    dns_names: list[DnsName] = Field(
        default_factory=list, max_length=MAX_NAMES, description="Names of DNS that its holder answers to."
    )
    ip_addresses: list[IpAddress] = Field(
        default_factory=list, max_length=MAX_NAMES, description="Addresses that its holder answers at."
    )
    ttl_hours: int = Field(default=168, ge=1, le=720, alias="ttlHours", description="Lifetime in hours.")
    allow_bare_domains: bool = Field(default=False, description="Take DNS names without a dot.")
    disable_renewal: bool = Field(default=False, description="Let it end; it is not renewed before.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.machine:
            return self
        if ":" in self.common_name:
            raise ValueError(_NO_COLON)
        if any(name.startswith(RESERVED_PREFIXES) for name in self.organizations):
            raise ValueError(f"organizations: {_NO_RESERVED}")
        bare = [name for name in self.dns_names if "." not in name]
        if bare and not self.allow_bare_domains:
            raise ValueError(f"dnsNames {', '.join(bare)}: a name without a dot needs allowBareDomains")
        return self


class CertificateStatus(StatusModel):
    """The certificate that was issued last."""

    observed_generation: int = Field(default=0, description="Generation of the spec that this status is of.")
    conditions: list[Condition] = Field(
        default_factory=list, max_length=16, json_schema_extra=keyed_by("type"), description="What is observed."
    )
    serial_number: Short = Field(default="", description="In hexadecimal, with colons.")
    not_before: Time | None = Field(default=None, description="Since when it is valid.")
    not_after: Time | None = Field(default=None, description="Until when it is valid.")
    renewal_time: Time | None = Field(default=None, description="When it is renewed.")
    reason: Short = Field(default="", description="Why it was issued.")
    secret_name: Short = Field(default="", description="The Secret with ca.crt, tls.crt and tls.key.")
