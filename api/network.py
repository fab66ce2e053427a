"""The addresses of a cluster, and the rule that no two ranges overlap."""

from functools import lru_cache
from ipaddress import IPv4Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from api.model import ApiModel
from api.schema import validations

RESERVED = {
    "127.0.0.0/8": "loopback, where the machines of the local provider live",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "224.0.0.0/4": "multicast (RFC 5771)",
}


# The same few ranges come with every message about a cluster, and are checked each time.
@lru_cache
def _cidr(value: str) -> str:
    network = ip_network(value, strict=True)
    if not isinstance(network, IPv4Network):
        raise ValueError("only IPv4 ranges are supported")
    for reserved, why in RESERVED.items():
        if network.overlaps(ip_network(reserved)):
            raise ValueError(f"{value} overlaps {reserved}: {why}")
    return value


def apart(one: str, other: str) -> str:
    """Return the rule, in CEL, that two expressions of ranges don't overlap."""
    return f"(!cidr({one}).containsCIDR({other}) && !cidr({other}).containsCIDR({one}))"


def _between(cidr: str, shortest: int, longest: int) -> str:
    return f"(cidr({cidr}).prefixLength() >= {shortest} && cidr({cidr}).prefixLength() <= {longest})"


_CIDR_SCHEMA = {
    "type": "string",
    "maxLength": 18,
    **validations(
        (
            "isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self) == cidr(self).masked()",
            "must be an IPv4 range such as 10.96.0.0/16, no bit set beyond its prefix",
        ),
        *(
            (
                f"!isCIDR(self) || {apart('self', repr(reserved))}",
                f"overlaps {reserved}: {why}",
            )
            for reserved, why in RESERVED.items()
        ),
    ),
}

Cidr = Annotated[str, AfterValidator(_cidr), WithJsonSchema(_CIDR_SCHEMA)]
"""An IPv4 range in canonical form, such as 10.96.0.0/16, outside of the reserved ranges."""

DomainName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
]


_BOTH = "(isCIDR(self.podCIDR) && isCIDR(self.serviceCIDR))"


class NetworkSpec(ApiModel):
    """The ranges that pods and services take their addresses from, and where the API answers."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                f"!{_BOTH} || {apart('self.podCIDR', 'self.serviceCIDR')}",
                "podCIDR and serviceCIDR overlap: choose separate ranges",
            ),
            (
                f"!{_BOTH} || {_between('self.serviceCIDR', 12, 24)}",
                "serviceCIDR: the prefix must be between /12 and /24",
            ),
            (
                f"!{_BOTH} || {_between('self.podCIDR', 0, 22)}",
                "podCIDR: a node takes a /24, so the prefix must be /22 or wider",
            ),
        )
    )

    pod_cidr: Cidr = Field(default="10.244.0.0/16", alias="podCIDR", description="Range of pod addresses.")
    service_cidr: Cidr = Field(
        default="10.96.0.0/16", alias="serviceCIDR", description="Range of service addresses, /12 to /24."
    )
    cluster_domain: DomainName = Field(
        default="cluster.local", max_length=120, description="DNS suffix of services."
    )
    api_port: int = Field(default=6443, ge=1024, le=32767, description="Port of the Kubernetes API.")

    @model_validator(mode="after")
    def _ranges(self) -> "NetworkSpec":
        pods, services = ip_network(self.pod_cidr), ip_network(self.service_cidr)
        if pods.overlaps(services):
            raise ValueError(f"podCIDR {pods} and serviceCIDR {services} overlap: choose separate ranges")
        if not 12 <= services.prefixlen <= 24:
            raise ValueError(f"serviceCIDR {services}: the prefix must be between /12 and /24")
        if pods.prefixlen > 22:
            raise ValueError(f"podCIDR {pods}: a node takes a /24, so the prefix must be /22 or wider")
        return self
