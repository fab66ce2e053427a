"""Workflows and their messages: names and models that people and the bridge use."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated

from pydantic import Field, StringConstraints
from temporalio.common import SearchAttributeKey

from api.cluster import Cluster, ClusterSpec
from api.model import ApiModel
from api.status import OperationRecord, OperationStatus, Phase
from contracts.context import ClusterContext
from contracts.model import WireModel
from contracts.plan import Plan
from contracts.repair import Unwell
from contracts.reporting import ApiHealth
from contracts.vault import Issued

CLUSTER = "Cluster"
CREATE_CLUSTER = "CreateCluster"
DELETE_CLUSTER = "DeleteCluster"
REPLACE_MACHINE = "ReplaceMachine"
REPAIR_MACHINE = "RepairMachine"
ROTATE_CERTIFICATES = "RotateCertificates"

CLUSTER_NAME = SearchAttributeKey.for_keyword("ClusterName")
CLUSTER_OWNER = SearchAttributeKey.for_keyword("ClusterOwner")
CLUSTER_PROVIDER = SearchAttributeKey.for_keyword("ClusterProvider")
CLUSTER_PHASE = SearchAttributeKey.for_keyword("ClusterPhase")
CLUSTER_RELEASE = SearchAttributeKey.for_keyword("ClusterRelease")
CLUSTER_CREATED = SearchAttributeKey.for_datetime("ClusterCreated")
SEARCH_ATTRIBUTES = (
    CLUSTER_NAME,
    CLUSTER_OWNER,
    CLUSTER_PROVIDER,
    CLUSTER_PHASE,
    CLUSTER_RELEASE,
    CLUSTER_CREATED,
)


def workflow_id(namespace: str, name: str) -> str:
    """Return the id of a cluster's entity workflow: one per name, so that nobody drives a cluster twice."""
    return f"cluster/{namespace}/{name}"


def proposed_id(namespace: str, name: str, uid: str) -> str:
    """Return what is to name and tag everything of a new cluster outside: 12 characters, others for each name.

    A uid alone would not do: people write their own, and copy resources.
    """
    return f"c{sha256(f'{namespace}/{name}/{uid}'.encode()).hexdigest()[:11]}"


Certificates = dict[str, dict[str, Issued]]
"""What each machine was given: certificates by name, by the machine's name."""


class Awaited(WireModel):
    """A client of the API that is to use its new certificate, by the machine's and the certificate's names."""

    machine: str
    name: str
    since: datetime


class Access(WireModel):
    """A client certificate that a person was given."""

    user: str
    groups: list[str] = Field(default_factory=list)
    serial: str
    issued_at: datetime
    expires_at: datetime
    break_glass: bool = False


class Accesses(WireModel):
    """Answer of the query ``accesses``: the last ones, in the order in which they were given."""

    items: list[Access] = Field(default_factory=list)


class Carried(WireModel):
    """What an entity takes along when it continues as new."""

    schema_version: int = 1
    cluster_id: str
    observed_generation: int
    endpoint: str
    context: ClusterContext
    paused: bool = False
    recent_operations: list[OperationRecord] = Field(default_factory=list)
    created_at: datetime | None = None
    generation: int = 0
    phase: Phase = Phase.RUNNING
    waiting_on: str = ""
    delete: bool = False
    cancel: bool = False
    cancelled_from_outside: bool = False
    replace: list[str] = Field(default_factory=list)
    lost: list[str] = Field(default_factory=list)
    unwell: list[Unwell] = Field(default_factory=list)
    next_look: datetime | None = None
    resource_uid: str = ""
    resource_gone: bool = False
    health: ApiHealth | None = None
    sequence: int = 0
    reported_at: datetime | None = None
    certificates: dict[str, datetime] = Field(default_factory=dict)
    issued: Certificates = Field(default_factory=dict)
    rotate: bool = False
    rotate_at: datetime | None = None
    unrenewed: dict[str, str] = Field(default_factory=dict)
    awaited: dict[str, Awaited] = Field(default_factory=dict)
    accesses: list[Access] = Field(default_factory=list)
    askers: dict[str, str] = Field(default_factory=dict)
    operation: OperationStatus | None = None


class CertificatesAnswer(WireModel):
    """Answer of the query ``certificates``: what each machine was given, and who is to use theirs yet."""

    context: ClusterContext
    issued: Certificates = Field(default_factory=dict)
    rotate_at: datetime | None = None
    unrenewed: dict[str, str] = Field(default_factory=dict)
    awaited: list[Awaited] = Field(default_factory=list)


Asker = Annotated[str, StringConstraints(max_length=256)]
"""A user of the host cluster; empty for people who speak to Temporal."""


class ClusterInput(Cluster):
    """Input of ``Cluster``: the resource as a user writes it. ``carried`` is set by the workflow alone.

    ``resource`` says that a resource of this name and uid is there, and ``requested_by`` who made it: the bridge
    sets them.
    """

    resource: bool = False
    requested_by: Asker = ""
    carried: Carried | None = None


class ApplyRequest(ApiModel):
    """Input of the update ``apply``: the newest desired state. ``resource`` says that the bridge found it."""

    resource: bool = False
    requested_by: Asker = ""
    uid: str | None = None
    generation: Annotated[int, Field(ge=1)] | None = None
    spec: ClusterSpec


class Accepted(WireModel):
    """Answer of the updates: what the cluster will do about it."""

    message: str
    generation: int = 0


class Reason(ApiModel):
    """Input of the updates ``delete``, ``retry``, ``pause``, ``resume`` and ``cancel``: a word for the record.

    ``uid`` is that of the resource for which the bridge asks: it is refused when the cluster is another one's.
    """

    uid: str = ""

    reason: Annotated[str, StringConstraints(max_length=200)] = ""
    requested_by: Asker = ""


class ReplaceMachineRequest(Reason):
    """Input of the update ``replace_machine``: the machine's name, as `kubectl get nodes` shows it."""

    machine: Annotated[str, StringConstraints(min_length=1, max_length=63)]


class MoveMachine(WireModel):
    """Signal ``move_machine``, of a hypervisor: it is evacuated or, when the machine is ``lost``, dead."""

    machine: str
    lost: bool = False


class KubeconfigRequest(ApiModel):
    """Input of the update ``kubeconfig``: a PKCS #10 request (PEM), of which only the public key counts."""

    request: Annotated[str, StringConstraints(max_length=8192)]
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._+-]{0,62}$")]
    groups: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,62}$")]] = Field(
        default_factory=list, max_length=16
    )
    ttl_seconds: int = Field(default=3600, ge=60, le=3600)
    break_glass: bool = False


class OperationInput(WireModel):
    """Input of an operation: what to do, and to which cluster.

    ``carried`` is what an earlier run of the same operation had reached, whose history became too long.
    """

    context: ClusterContext
    plan: Plan
    paused: bool = False
    carried: OperationStatus | None = None


class OperationResult(WireModel):
    """Result of an operation: the cluster as it is known now.

    ``certificates`` tells of each machine that was given certificates when the first of them ends, ``issued`` of
    each of them; ``unrenewed`` why a machine was not given those that it should have been.
    """

    context: ClusterContext
    finished_at: datetime
    message: str = ""
    certificates: dict[str, datetime] = Field(default_factory=dict)
    issued: Certificates = Field(default_factory=dict)
    unrenewed: dict[str, str] = Field(default_factory=dict)
