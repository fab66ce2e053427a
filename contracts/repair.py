"""Machines that are not well, and what is decided about them."""

from datetime import datetime

from pydantic import Field

from api.cluster import ClusterSpec
from contracts.machines import MachineObservation
from contracts.model import WireModel
from contracts.plan import Plan


class Unwell(WireModel):
    """A machine that is not well, or was not long ago.

    ``since`` is when it was first seen so, None while it is well; ``tries`` counts repairs since it last was well
    for long, ``tried_at`` is when the last one was decided on.
    """

    name: str
    since: datetime | None = None
    tries: int = 0
    tried_at: datetime | None = None


class RepairRequest(WireModel):
    """Asks what to do about machines as they were seen at ``now``, waiting for no grace if ``at_once``.

    ``only_look`` asks for no repair.
    """

    now: datetime
    spec: ClusterSpec
    observed: list[MachineObservation]
    unwell: list[Unwell] = Field(default_factory=list)
    at_once: bool = False
    only_look: bool = False


class RepairDecision(WireModel):
    """What to remember, what to say of machines that are not well, and one repair, if it is time for one."""

    unwell: list[Unwell] = Field(default_factory=list)
    message: str = ""
    plan: Plan | None = None
