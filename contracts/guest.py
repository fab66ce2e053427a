"""Messages to the activities that speak to a guest cluster's API."""

from pydantic import Field

from contracts.context import ClusterContext
from contracts.machines import MachinePlan
from contracts.model import WireModel


class GuestRequest(WireModel):
    """Names the cluster, and the machines that a step is about where it is about machines.

    ``anew`` says that nodes of their names were Ready before: only one whose kubelet is heard from now counts.
    """

    cluster: ClusterContext
    machines: list[MachinePlan] = Field(default_factory=list)
    anew: bool = False


class GuestReport(WireModel):
    """Facts in one sentence, for the step's line."""

    message: str = ""


class ServingRequest(WireModel):
    """Names what a machine's endpoints are to show: serial numbers (hexadecimal, colons) by certificate."""

    cluster: ClusterContext
    machine: MachinePlan
    serials: dict[str, str]
