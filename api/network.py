"""The addresses of a cluster, and the rule that no two ranges overlap."""

from ipaddress import IPv4Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.model import ApiModel

RESERVED = {
    "127.0.0.0/8": "loopback, where the machines of the local provider live",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "224.0.0.0/4": "multicast (RFC 5771)",
}


def _cidr(value: str) -> str:
    network = ip_network(value, strict=True)
    if not isinstance(network, IPv4Network):
        raise ValueError("only IPv4 ranges are supported")
    for reserved, why in RESERVED.items():
        if network.overlaps(ip_network(reserved)):
            raise ValueError(f"{value} overlaps {reserved}: {why}")
    return value


Cidr = Annotated[str, AfterValidator(_cidr)]
"""An IPv4 range in canonical form, such as 10.96.0.0/16, outside of the reserved ranges."""

DomainName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
]


class NetworkSpec(ApiModel):
    """The ranges that pods and services take their addresses from, and where the API answers."""

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
