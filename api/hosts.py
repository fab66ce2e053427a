"""Names and addresses that a certificate may be for (RFC 5280: Subject Alternative Name)."""

from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from api.schema import validations


def _is_link_local(value: str) -> str:
    address = ip_address(value)
    if str(address) != value:
        raise ValueError(f"{value} is written {address}")
    if address.is_link_local:
        raise ValueError(f"{value} is link-local: it may be anybody's (RFC 3927, RFC 4291)")
    return value


IpAddress = Annotated[
    str,
    AfterValidator(_is_link_local),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 39,
            **validations(
                ("isIP(self) && ip.isCanonical(self)", "must be an IP address in its canonical form"),
                ("!isIP(self) || !ip(self).isLinkLocalUnicast()", "link-local addresses may be anybody's"),
            ),
        }
    ),
]
DnsName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        max_length=253,
    ),
]
"""A name of DNS (RFC 1123), which may begin with a wildcard (RFC 6125)."""

HostName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$", max_length=253
    ),
]
"""A name of DNS (RFC 1123) without a wildcard."""
