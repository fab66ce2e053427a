"""The base of every model that a user writes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of a resource: camelCase on the wire, unknown fields and loose types refused, immutable.

    Unknown fields are refused here, at the edge, because a field with a typing error would otherwise be an
    unset one; messages between our own processes are additive instead (``contracts.model``).
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )


RESERVED_PREFIXES = ("system:", "giantnetes:")
"""What names of Kubernetes' own users and groups, and of ours, begin with."""

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DnsLabel = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=40)]
"""An RFC 1123 label that starts with a letter; 40 characters leave room for the suffixes we add below 63."""

LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    ),
]
"""A Kubernetes label key: an optional DNS prefix and a name of at most 63 characters."""

LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
"""A Kubernetes label value: empty, or at most 63 characters."""
