"""The plan of a create: machines with their addresses, and steps with what each one waits for."""

from itertools import count

from api.cluster import ClusterSpec, NodePool
from contracts.machines import (
    MachinePlan,
    MachineRole,
    control_planes_are_nodes,
    has_hypervisors,
    node_name,
    slot_name,
)
from contracts.plan import Plan, Step, StepKind

BALANCED_ENDPOINT_HOST = 10
FIRST_SLOT_HOST = 11
FIRST_NODE_HOST = 20
CONTROL_PLANE = "control-plane"


def plan_create(spec: ClusterSpec, *, adopting: bool = False) -> Plan:
    """Return the plan that makes, completes or adopts a cluster: every step ensures, so all three are one.

    With ``adopting`` control plane machines are made on volumes that the cluster has, never on new ones.
    """
    groups = machine_groups(spec)
    if adopting:
        groups[CONTROL_PLANE] = [slot.model_copy(update={"has_data": True}) for slot in groups[CONTROL_PLANE]]
    return Plan(
        operation="CreateCluster",
        reason="the cluster is wanted and not known to be complete",
        endpoint_host=endpoint_host(spec),
        groups=groups,
        steps=_steps(spec),
    )


def endpoint_host(spec: ClusterSpec) -> int:
    """Return the host number of the API's address in the machine network."""
    return BALANCED_ENDPOINT_HOST if spec.control_plane.replicas > 1 else FIRST_SLOT_HOST


def machine_groups(spec: ClusterSpec) -> dict[str, list[MachinePlan]]:
    """Return all machines of a cluster by group; host numbers are unique and never move between kinds."""
    slots = [
        MachinePlan(
            name=slot_name(index + 1),
            role=MachineRole.CONTROL_PLANE,
            host=FIRST_SLOT_HOST + index,
            size=spec.control_plane.machine,
        )
        for index in range(spec.control_plane.replicas)
    ]
    hosts = count(FIRST_NODE_HOST)
    pools = {
        pool.name: [_node(pool, index + 1, next(hosts)) for index in range(pool.replicas)]
        for pool in spec.node_pools
    }
    return {CONTROL_PLANE: slots, **pools}


def _node(pool: NodePool, number: int, host: int) -> MachinePlan:
    return MachinePlan(
        name=node_name(pool.name, number),
        role=MachineRole.NODE,
        host=host,
        pool=pool.name,
        size=pool.machine,
        labels={"giantnetes.io/pool": pool.name, **pool.labels},
        taints=pool.taints,
    )


def _steps(spec: ClusterSpec) -> list[Step]:
    pools = [pool.name for pool in spec.node_pools if pool.replicas]
    joining = (
        [_join(CONTROL_PLANE, "Wait for control plane nodes")] if control_planes_are_nodes(spec.provider) else []
    )
    joining += [_join(name, f"Wait for nodes of pool {name}") for name in pools]
    steps = [
        Step(name="claim", title="Claim id and addresses", kind=StepKind.CLAIM),
        *(_placing() if has_hypervisors(spec.provider) else []),
        Step(name="authorities", title="Make certificate authorities", kind=StepKind.AUTHORITIES, needs=["claim"]),
        Step(
            name="secrets",
            title="Make service account and encryption keys",
            kind=StepKind.SECRETS,
            needs=["claim"],
        ),
        _boot("control-plane", "Boot control plane machines", spec),
        *(_boot(name, f"Boot nodes of pool {name}", spec) for name in pools),
        Step(
            name="start-control-plane",
            title="Certify and start the control plane",
            kind=StepKind.CERTIFY,
            needs=["authorities", "secrets", "boot-control-plane"],
            group=CONTROL_PLANE,
        ),
        *(
            Step(
                name=f"start-{name}",
                title=f"Certify and start nodes of pool {name}",
                kind=StepKind.CERTIFY,
                needs=["start-control-plane", f"boot-{name}"],
                group=name,
            )
            for name in pools
        ),
        Step(name="api", title="Wait for the API", kind=StepKind.API, needs=_api_needs(spec)),
        Step(name="access", title="Bind groups to roles", kind=StepKind.ACCESS, needs=["api"]),
        Step(name="addons", title="Install add-ons", kind=StepKind.ADDONS, needs=["access"]),
        *joining,
        Step(
            name="verify",
            title="Verify by using the cluster",
            kind=StepKind.VERIFY,
            needs=["addons", *(step.name for step in joining)],
        ),
        Step(name="record", title="Record the cluster as complete", kind=StepKind.RECORD, needs=["verify"]),
    ]
    if _is_balanced(spec):
        steps.insert(3, Step(name="endpoint", title="Balance the API", kind=StepKind.ENDPOINT, needs=["claim"]))
    return steps


def _placing() -> list[Step]:
    return [
        Step(name="place", title="Choose hypervisors", kind=StepKind.PLACE, needs=["claim"]),
        Step(name="network", title="Join hypervisors by a network", kind=StepKind.NETWORK, needs=["place"]),
    ]


def _boot(group: str, title: str, spec: ClusterSpec) -> Step:
    needs = ["network"] if has_hypervisors(spec.provider) else ["claim"]
    return Step(name=f"boot-{group}", title=title, kind=StepKind.BOOT, needs=needs, group=group)


def _join(group: str, title: str) -> Step:
    needs = ["access", f"start-{group}"]
    return Step(name=f"join-{group}", title=title, kind=StepKind.NODES, needs=needs, group=group)


def _api_needs(spec: ClusterSpec) -> list[str]:
    return ["start-control-plane", "endpoint"] if _is_balanced(spec) else ["start-control-plane"]


def _is_balanced(spec: ClusterSpec) -> bool:
    """Say whether something beside the machines leads to the API; virtual machines share an address themselves."""
    return spec.control_plane.replicas > 1 and not has_hypervisors(spec.provider)
