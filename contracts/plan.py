"""A plan: an operation as data, made by ``planning`` in an activity and walked by a workflow."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from api.cluster import ClusterSpec
from contracts.context import ClusterContext
from contracts.machines import MachinePlan
from contracts.model import WireModel
from contracts.vault import Issued


class StepKind(StrEnum):
    """What a workflow knows how to do. Kinds are only ever added: plans are kept in histories."""

    CLAIM = "claim"
    AUTHORITIES = "authorities"
    SECRETS = "secrets"
    ENDPOINT = "endpoint"
    BOOT = "boot"
    CERTIFY = "certify"
    API = "api"
    ACCESS = "access"
    ADDONS = "addons"
    NODES = "nodes"
    VERIFY = "verify"
    FIND = "find"
    RECORD = "record"
    REMOVE_MACHINES = "remove-machines"
    REMOVE_AUTHORITIES = "remove-authorities"
    REMOVE_SECRETS = "remove-secrets"
    PROVE_GONE = "prove-gone"
    RELEASE = "release"
    DRAIN = "drain"
    FENCE = "fence"
    REMOVE_MACHINE = "remove-machine"
    REJOIN = "rejoin"
    UNCORDON = "uncordon"
    LOCATE = "locate"
    PLACE = "place"
    NETWORK = "network"
    VACATE = "vacate"
    ROOM = "room"
    RENEW = "renew"


class Step(WireModel):
    """One line of the checklist. ``needs`` names the steps that must be done before; ``group`` names machines.

    ``max_attempts`` bounds how often an activity of it is tried; 0 is for as long as it takes.
    """

    name: str
    title: str
    kind: StepKind
    needs: list[str] = Field(default_factory=list)
    group: str = ""
    max_attempts: int = 0


class Plan(WireModel):
    """An operation. ``groups`` holds its machines by group: control-plane, and each node pool's name.

    ``spare_complete`` forbids to delete a cluster whose create had succeeded at any time. ``renewals`` maps
    machines to those of their certificates that are to be renewed, and ``reasons`` to why; ``rotate_at`` is when
    they are due again.
    """

    operation: str
    reason: str
    endpoint_host: int = 11
    spare_complete: bool = False
    groups: dict[str, list[MachinePlan]] = Field(default_factory=dict)
    steps: list[Step]
    renewals: dict[str, list[str]] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)
    rotate_at: datetime | None = None


class PlanRequest(WireModel):
    """Asks what to do about a cluster. ``deleting`` asks for its end, whatever the spec says.

    ``replace`` names a machine that is to be replaced; ``lost`` says that it has gone with its hypervisor.

    ``undoing`` asks for the end of a create that was given up, which spares a cluster that was complete before.

    ``rotating`` asks for the renewal of what is due at ``now`` of ``issued``, what each machine was given;
    ``all_due`` for that of all. ``unrenewed`` are machines that could not be given theirs before.
    """

    namespace: str
    name: str
    cluster_id: str
    spec: ClusterSpec
    deleting: bool = False
    undoing: bool = False
    replace: str = ""
    lost: bool = False
    cluster: ClusterContext | None = None
    rotating: bool = False
    all_due: bool = False
    now: datetime | None = None
    issued: dict[str, dict[str, Issued]] = Field(default_factory=dict)
    unrenewed: list[str] = Field(default_factory=list)

    @property
    def ends(self) -> bool:
        """Whether the cluster is to go."""
        return self.deleting or self.undoing
