"""The status of the ``Cluster`` resource, as people and programs read it with kubectl."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.schema import keyed_by
from api.status import ErrorStatus, Phase, StatusModel

FINALIZER = "cluster.giantnetes.io"
"""Keeps a ``Cluster`` until nothing of its cluster is left."""

CONFIRM_DELETION = "giantnetes.io/confirm-deletion"
"""Annotation: the resource's own uid, without which a deleted resource stays and its cluster lives on."""

ABANDON = "giantnetes.io/abandon"
"""Annotation: the resource's own uid, by which a deleted resource goes and its cluster lives on."""

OPERATION = "giantnetes.io/operation"
"""Annotation: something to do now; it is taken away when it is taken up."""

REQUESTED_BY = "giantnetes.io/requested-by"
"""Annotation: the user who changed the resource last, written by the host cluster's admission."""

Time = Annotated[datetime, AfterValidator(lambda time: time.replace(microsecond=0))]
"""As Kubernetes' own times: to the second (metav1.Time)."""

Short = Annotated[str, StringConstraints(max_length=1024)]


class Condition(StatusModel):
    """One observation (Kubernetes: API conventions, metav1.Condition)."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(
        description="Type of condition in CamelCase or in foo.example.com/CamelCase."
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Status of the condition, one of True, False, Unknown."
    )
    reason: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)
    ] = Field(description="A programmatic identifier indicating the reason for the condition's last transition.")
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(
        default="",
        description="A human readable message indicating details about the transition; it may be empty.",
    )
    last_transition_time: Time = Field(
        description="The last time the condition transitioned from one status to another."
    )
    observed_generation: int = Field(
        default=0, ge=0, description="The .metadata.generation that the condition was set based upon."
    )


class CurrentOperation(StatusModel):
    """The operation that is under way."""

    id: Short = Field(description="Id of its workflow.")
    type: Short = Field(description="CreateCluster, RepairMachine and so on.")
    progress: Short = Field(default="", description="Steps done of all, such as 3/14.")
    step: Short = Field(default="", description="The step that is under way, for people.")
    step_index: int = Field(default=0, description="How many steps are done.")
    step_count: int = Field(default=0, description="How many steps there are.")
    attempt: int = Field(default=0, description="Attempt of the step; more than 1 after an error.")
    started_at: Time = Field(description="When it started.")
    waiting_on: Short = Field(default="", description="What it waits for, if that isn't the step's work.")
    last_error: ErrorStatus | None = Field(default=None, description="Why the step is tried again.")
    next_retry_time: Time | None = Field(default=None, description="When the step is tried again.")
    cancellable: bool = Field(default=False, description="Whether giantnetes.io/operation=cancel would stop it.")


class EndedOperation(StatusModel):
    """An operation that has ended."""

    id: Short = Field(description="Id of its workflow.")
    type: Short = Field(description="CreateCluster, RepairMachine and so on.")
    started_at: Time = Field(description="When it started.")
    finished_at: Time = Field(description="When it ended.")
    duration_seconds: int = Field(description="How long it took in seconds.")
    outcome: Literal["Succeeded", "Failed", "Cancelled"] = Field(description="How it ended.")
    message: Short = Field(default="", description="Why it failed; empty when it did not.")
    requested_by: Short = Field(default="", description="Who asked for it; empty when nobody did.")


class MachineCounts(StatusModel):
    """How many machines there are to be, and how many are nodes that are Ready."""

    desired_replicas: int = Field(description="How many machines there are to be.")
    ready_replicas: int = Field(description="How many of them are nodes that are Ready.")
    ready: Short = Field(description="Both, such as 2/3.")


class PoolCounts(MachineCounts):
    """The same of one node pool."""

    name: Short = Field(description="Name of the pool.")


class ReleaseRecord(StatusModel):
    """A release that the cluster has had."""

    release: Short = Field(description="Name of the release.")
    started_at: Time = Field(description="When it was first reported.")
    completed_at: Time | None = Field(default=None, description="When the cluster was first reported to have it.")


class ClusterResourceStatus(StatusModel):
    """What was last reported of a cluster. Programs read ``conditions``, people ``phase`` and ``operation``."""

    observed_generation: int = Field(
        default=0, description="Generation of the spec that the cluster has taken up."
    )
    last_reported_time: Time | None = Field(default=None, description="When this was reported.")
    sequence: int = Field(default=0, description="Number of the report: a later one is never overwritten.")
    phase: Phase = Field(default=Phase.PENDING, description="A word for people.")
    conditions: list[Condition] = Field(
        default_factory=list, max_length=32, json_schema_extra=keyed_by("type"), description="What is observed."
    )
    operation: CurrentOperation | None = None
    recent_operations: list[EndedOperation] = Field(
        default_factory=list, max_length=10, description="The last operations that have ended, latest last."
    )
    endpoint: Short = Field(default="", description="URL of the cluster's Kubernetes API.")
    control_plane: MachineCounts | None = None
    nodes: MachineCounts | None = Field(default=None, description="Nodes of all pools.")
    node_pools: list[PoolCounts] = Field(
        default_factory=list,
        max_length=10,
        json_schema_extra=keyed_by("name"),
        description="Nodes of each pool.",
    )
    release_history: list[ReleaseRecord] = Field(
        default_factory=list, max_length=10, description="Releases that the cluster has had, latest last."
    )
    certificates_expire_at: Time | None = Field(default=None, description="When the first certificate ends.")
    cluster_id: Short = Field(default="", description="What names and tags everything of the cluster outside.")
    workflow_id: Short = Field(default="", description="Id of the cluster's workflow in Temporal.")
    run_id: Short = Field(default="", description="Id of the workflow's run that reported this.")
