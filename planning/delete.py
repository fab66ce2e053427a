"""The plan of a delete: the one teardown path, also of a create that was given up."""

from contracts.machines import has_hypervisors
from contracts.plan import Plan, Step, StepKind


def plan_delete(provider: str, *, undoing: bool) -> Plan:
    """Return the plan that removes whatever exists of a cluster, looks that it is gone, and forgets it.

    Keys go first, with the mark that a deletion has begun: whatever else is missing, a cluster without that mark
    can be adopted. Claims go last, so that nothing that could still be in use is given to another cluster.
    """
    placed = has_hypervisors(provider)
    return Plan(
        operation="DeleteCluster",
        reason="the create was given up" if undoing else "the cluster is not wanted any more",
        spare_complete=undoing,
        steps=[
            Step(name="find", title="Find the cluster's id", kind=StepKind.FIND),
            *([_LOCATE] if placed else []),
            Step(
                name="secrets",
                title="Remove service account and encryption keys",
                kind=StepKind.REMOVE_SECRETS,
                needs=["find"],
            ),
            Step(
                name="machines",
                title="Remove machines and volumes",
                kind=StepKind.REMOVE_MACHINES,
                needs=["secrets", "locate"] if placed else ["secrets"],
            ),
            Step(
                name="authorities",
                title="Remove certificate authorities",
                kind=StepKind.REMOVE_AUTHORITIES,
                needs=["secrets"],
            ),
            Step(
                name="gone",
                title="Look twice that nothing is left",
                kind=StepKind.PROVE_GONE,
                needs=["machines", "authorities"],
            ),
            *([_VACATE] if placed else []),
            Step(
                name="release",
                title="Release claims and forget",
                kind=StepKind.RELEASE,
                needs=["vacate" if placed else "gone"],
            ),
        ],
    )


_LOCATE = Step(name="locate", title="Find its hypervisors", kind=StepKind.LOCATE, needs=["find"])
_VACATE = Step(name="vacate", title="Give back room on hypervisors", kind=StepKind.VACATE, needs=["gone"])
