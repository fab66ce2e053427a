"""The plan of a delete: the one teardown path, also of a create that was given up."""

from contracts.plan import Plan, Step, StepKind


def plan_delete(*, undoing: bool) -> Plan:
    """Return the plan that removes whatever exists of a cluster, looks that it is gone, and forgets it.

    Keys go first, with the mark that a deletion has begun: whatever else is missing, a cluster without that mark
    can be adopted. Claims go last, so that nothing that could still be in use is given to another cluster.
    """
    return Plan(
        operation="DeleteCluster",
        reason="the create was given up" if undoing else "the cluster is not wanted any more",
        spare_complete=undoing,
        steps=[
            Step(name="find", title="Find the cluster's id", kind=StepKind.FIND),
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
                needs=["secrets"],
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
            Step(name="release", title="Release claims and forget", kind=StepKind.RELEASE, needs=["gone"]),
        ],
    )
