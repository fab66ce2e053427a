"""What a cluster tells about itself. Kubernetes' API conventions for conditions, Gardener's for operations."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class StatusModel(BaseModel):
    """A part of a status: camelCase on the wire; unknown fields are ignored, so that readers may be older."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Phase(StrEnum):
    """A word for people; programs read conditions (cluster-api's convention)."""

    PENDING = "Pending"
    CREATING = "Creating"
    RUNNING = "Running"
    REPAIRING = "Repairing"
    DEGRADED = "Degraded"
    FAILED = "Failed"
    DELETING = "Deleting"
    DELETED = "Deleted"


class StepState(StrEnum):
    """How far a step is."""

    WAITING = "Waiting"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class ErrorStatus(StatusModel):
    """An error as people act on it: what happened, whether it is tried again, what to do next."""

    code: str = Field(description="Stable name of what happened: docs/errors.md lists them.")
    message: str = Field(description="What happened, for people.")
    retryable: bool = Field(description="Whether it is tried again by itself.")
    hint: str = Field(default="", description="What a person is to do next.")


class StepStatus(StatusModel):
    """One step of an operation."""

    name: str
    title: str
    state: StepState = StepState.WAITING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    last_error: ErrorStatus | None = None
    next_retry_time: datetime | None = None


class OperationStatus(StatusModel):
    """The operation under way, or the last one. ``revision`` grows with each report of it."""

    id: str
    type: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: Literal["Succeeded", "Failed", "Cancelled"] | None = None
    steps: list[StepStatus] = Field(default_factory=list)
    last_error: ErrorStatus | None = None
    revision: int = 0


class OperationRecord(StatusModel):
    """An operation that has ended, in one line."""

    id: str
    type: str
    started_at: datetime
    finished_at: datetime
    outcome: Literal["Succeeded", "Failed", "Cancelled"]
    message: str = ""
    requested_by: str = ""


class ClusterStatus(StatusModel):
    """Answer of the query ``status``.

    ``rotate_at`` is when certificates are renewed next; ``unrenewed`` tells why a machine's could not be, and
    ``stale_clients`` which clients should have used their new ones by now.
    """

    name: str
    namespace: str
    cluster_id: str | None = None
    owner: str | None = None
    provider: str | None = None
    release: str | None = None
    phase: Phase = Phase.PENDING
    paused: bool = False
    generation: int = 0
    observed_generation: int = 0
    endpoint: str | None = None
    operation: OperationStatus | None = None
    recent_operations: list[OperationRecord] = Field(default_factory=list)
    waiting_on: str = ""
    resource_gone: bool = False
    rotate_at: datetime | None = None
    unrenewed: dict[str, str] = Field(default_factory=dict)
    stale_clients: list[str] = Field(default_factory=list)
