"""The activity that decides: planning with what it has to look up."""

from collections.abc import Callable
from pathlib import Path

import yaml
from temporalio import activity

from api.cluster import ClusterSpec
from contracts import activities as names
from contracts.plan import Plan, PlanRequest
from planning.decide import decide
from planning.quotas import Quotas
from planning.releases import load_releases

SpecsBeside = Callable[[str, str], list[ClusterSpec]]
"""Takes a namespace and a name, and returns the specs of all registered clusters but that one."""


class Planner:
    """Decides with the releases that ship with the code, a file of quotas, and what is registered."""

    def __init__(self, quotas: Path, specs_beside: SpecsBeside) -> None:
        """Read ``quotas`` (YAML, ``planning.quotas.Quotas``) anew for each decision."""
        self._quotas = quotas
        self._specs_beside = specs_beside

    @activity.defn(name=names.PLAN_OPERATION)
    def plan_operation(self, request: PlanRequest) -> Plan:
        """Return the plan for a cluster; raises ``StepError`` when the spec asks for what can't be had."""
        quotas = Quotas.model_validate(yaml.safe_load(self._quotas.read_text()))
        others = [] if request.ends else self._specs_beside(request.namespace, request.name)
        return decide(request, load_releases(), quotas, others)
