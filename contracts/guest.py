"""Messages to the activities that speak to a guest cluster's API."""

from pydantic import Field

from contracts.context import ClusterContext
from contracts.machines import MachinePlan
from contracts.model import WireModel


class GuestRequest(WireModel):
    """Names the cluster, and the machines that a step is about where it is about machines."""

    cluster: ClusterContext
    machines: list[MachinePlan] = Field(default_factory=list)


class GuestReport(WireModel):
    """Facts in one sentence, for the step's line."""

    message: str = ""
