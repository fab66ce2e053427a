"""The activity that decides: planning with what it has to look up."""

from temporalio import activity

from contracts import activities as names
from contracts.plan import Plan, PlanRequest
from planning.decide import decide
from planning.releases import load_releases


@activity.defn(name=names.PLAN_OPERATION)
def plan_operation(request: PlanRequest) -> Plan:
    """Return the plan for a cluster; raises ``StepError`` when the spec names what is not there."""
    return decide(request, load_releases())
