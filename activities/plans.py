"""The activity that decides: planning with what it has to look up."""

from collections.abc import Callable

from temporalio import activity

from contracts import activities as names
from contracts.context import ClusterContext
from contracts.plan import Plan, PlanRequest
from contracts.repair import RepairDecision, RepairRequest
from planning.certificates import Known, plan_rotation, rotation_time
from planning.decide import Standing, decide
from planning.delete import plan_delete
from planning.releases import load_releases
from planning.repair import decide_repair
from planning.replace import plan_replace

Registered = Callable[[str, str], Standing | None]
"""Takes a namespace and a name, and returns what is registered under it."""


class Planner:
    """Decides with the releases that ship with the code, and what is registered."""

    def __init__(self, registered: Registered) -> None:
        """Look up nothing yet."""
        self._registered = registered

    @activity.defn(name=names.PLAN_OPERATION)
    def plan_operation(self, request: PlanRequest) -> Plan:
        """Return the plan for a cluster; raises ``StepError`` when the spec asks for what can't be had.

        A deletion looks nothing up: a cluster must be deletable when its release file is gone or a file broken.
        """
        if request.ends:
            return plan_delete(request.spec.provider, undoing=not request.deleting)
        if request.replace:
            return plan_replace(request.spec, request.replace, lost=request.lost)
        if request.rotating and request.cluster and request.now:
            return plan_rotation(_known(request, request.cluster), request.now, asked=request.all_due)
        plan = decide(request, load_releases(), self._registered(request.namespace, request.name))
        if request.now is None:  # of a workflow that knows nothing of rotations
            return plan
        return plan.model_copy(update={"rotate_at": rotation_time(request.spec, request.cluster_id, request.now)})

    @activity.defn(name=names.PLAN_REPAIR)
    def plan_repair(self, request: RepairRequest) -> RepairDecision:
        """Return what to do about machines as they were seen."""
        return decide_repair(request)


def _known(request: PlanRequest, cluster: ClusterContext) -> Known:
    return Known(cluster, request.issued, request.unrenewed)
