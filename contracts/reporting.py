"""What a cluster's workflow has told to its resource in the host cluster."""

from datetime import datetime

from pydantic import Field

from api.cluster import ClusterSpec
from api.status import ClusterStatus
from contracts.context import ClusterContext
from contracts.model import WireModel


class ResourceReference(WireModel):
    """A ``Cluster`` resource: only the one of this uid is meant, whoever has the name."""

    namespace: str
    name: str
    uid: str


class ApiHealth(WireModel):
    """What was seen of a cluster from its own API; ``available`` is None when it could not be looked at.

    ``control_plane`` names the machines whose API server is ready, ``nodes`` the nodes that are Ready;
    ``certificate_expires_at`` is when the first of the API servers' certificates ends.
    """

    available: bool | None
    message: str = ""
    control_plane: list[str] = Field(default_factory=list)
    nodes: list[str] = Field(default_factory=list)
    certificate_expires_at: datetime | None = None


class ProbeRequest(WireModel):
    """Asks to look at a cluster's API until something is not as it was ``known`` to be (nothing if None)."""

    cluster: ClusterContext
    known: ApiHealth | None = None


class ResourceEvent(WireModel):
    """A Kubernetes Event about the resource: what has happened, once. ``key`` tells it from all others."""

    key: str
    reason: str
    message: str
    warning: bool = False
    at: datetime


class StatusReport(WireModel):
    """All that there is to tell at ``reported_at``. ``sequence`` grows with each report of a cluster.

    ``certificate_expires_at`` is when the first certificate ends that a machine was given, if that is known.

    ``anew`` says that ``health`` was heard since the last report: only such a one takes a doubt back.
    """

    resource: ResourceReference
    sequence: int
    reported_at: datetime
    spec: ClusterSpec
    status: ClusterStatus
    health: ApiHealth | None = None
    deleting: bool = False
    anew: bool = False
    certificate_expires_at: datetime | None = None
    run_id: str = ""
    events: list[ResourceEvent] = Field(default_factory=list)


class ReportAnswer(WireModel):
    """``sequence`` is the greatest that the resource has; ``gone`` says that the one of this uid is not there."""

    sequence: int = 0
    gone: bool = False
