"""The plans that replace and restart one machine of a living cluster."""

from collections.abc import Iterator
from typing import Literal

from api.cluster import ClusterSpec
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import MachinePlan, MachineRole, control_planes_are_nodes, has_hypervisors
from contracts.plan import Plan, Step, StepKind
from planning.create import machine_groups

MACHINE = "machine"
"""The group of the one machine that such a plan is about."""

BOOT_TRIES = 3
RETURN_TRIES = 3
DRAIN_TRIES = 8
"""Two minutes without an API, a quarter of an hour with pods that won't go."""

PATIENT_TRIES = 20
"""An hour or so: a step that waits for what this operation can't mend must end, so that the next one can."""

_ROOM = ("room", "See that there is room for the new machine", StepKind.ROOM, PATIENT_TRIES)
_PLACING = (
    ("place", "Choose its hypervisor", StepKind.PLACE, PATIENT_TRIES),
    ("network", "Join that to the cluster's network", StepKind.NETWORK, PATIENT_TRIES),
)

Operation = Literal["ReplaceMachine", "RepairMachine"]


def plan_replace(
    spec: ClusterSpec, name: str, operation: Operation = "ReplaceMachine", *, lost: bool = False
) -> Plan:
    """Return the plan that puts a new machine on an old one's name, address and, for a slot, volume.

    The old one's pods are moved first, but for a repair: what is broken moves none. It stays while Vault can't
    give the new one its certificates; it is destroyed, and seen destroyed, before the new one is made. A machine
    that is ``lost`` went with its hypervisor, and is repaired.
    Raises ``StepError`` with InvalidSpec for a name that isn't there.
    """
    machine = _machine(spec, name)
    operation = "RepairMachine" if lost else operation
    placed = has_hypervisors(spec.provider)
    drains = operation == "ReplaceMachine" and _is_node(spec, machine)
    steps = _chain(
        [
            *([("locate", "Find its hypervisor", StepKind.LOCATE, PATIENT_TRIES)] if placed else []),
            *([_ROOM] if placed and operation == "ReplaceMachine" else []),
            *([("drain", f"Move pods away from node {name}", StepKind.DRAIN, DRAIN_TRIES)] if drains else []),
            ("authorities", "See that certificates can be issued", StepKind.AUTHORITIES, PATIENT_TRIES),
            ("remove", f"Fence and remove machine {name}", StepKind.REMOVE_MACHINE, PATIENT_TRIES),
            *(_PLACING if placed else []),
            ("boot", "Boot the new machine", StepKind.BOOT, BOOT_TRIES),
            ("start", "Certify and start it", StepKind.CERTIFY, PATIENT_TRIES),
        ]
    )
    reason = "somebody asked for it" if operation == "ReplaceMachine" else "a restart does not help, or it is gone"
    steps = [*steps, *_return(spec, machine, PATIENT_TRIES)]
    return _plan(operation, f"replace {name}: {reason}", spec, machine, steps)


def plan_restart(spec: ClusterSpec, name: str) -> Plan:
    """Return the plan that takes a machine's power and gives it back, which makes all but its state anew.

    It fails soon when that doesn't help. Raises ``StepError`` with InvalidSpec for a name that isn't there.
    """
    machine = _machine(spec, name)
    placed = has_hypervisors(spec.provider)
    steps = _chain(
        [
            *([("locate", "Find its hypervisor", StepKind.LOCATE, PATIENT_TRIES)] if placed else []),
            ("fence", f"Switch machine {name} off", StepKind.FENCE, PATIENT_TRIES),
            ("boot", "Boot it", StepKind.BOOT, BOOT_TRIES),
            ("start", "Certify and start it", StepKind.CERTIFY, RETURN_TRIES),
        ]
    )
    steps = [*steps, *_return(spec, machine, RETURN_TRIES)]
    return _plan("RepairMachine", f"restart {name}: it is not well", spec, machine, steps)


def _machine(spec: ClusterSpec, name: str) -> MachinePlan:
    machines = {machine.name: machine for group in machine_groups(spec).values() for machine in group}
    if name not in machines:
        raise StepError(ErrorCode.INVALID_SPEC, f"machine: there is no {name}; there are: {', '.join(machines)}")
    machine = machines[name]
    return machine.model_copy(update={"has_data": machine.role is MachineRole.CONTROL_PLANE})


def _is_node(spec: ClusterSpec, machine: MachinePlan) -> bool:
    return machine.role is MachineRole.NODE or control_planes_are_nodes(spec.provider)


def _plan(operation: Operation, reason: str, spec: ClusterSpec, machine: MachinePlan, steps: list[Step]) -> Plan:
    groups = machine_groups(spec) | {MACHINE: [machine]}
    return Plan(operation=operation, reason=reason, groups=groups, steps=steps)


def _return(spec: ClusterSpec, machine: MachinePlan, tries: int) -> Iterator[Step]:
    """Yield what follows once the machine's programs are started."""
    before = "start"
    if machine.role is MachineRole.CONTROL_PLANE:
        yield _step("api", "Wait for its API", StepKind.API, before, tries)
        before = "api"
    if _is_node(spec, machine):
        yield _step("join", "Wait for its node", StepKind.REJOIN, before, tries)
        yield _step("uncordon", "Let pods onto the node", StepKind.UNCORDON, "join", tries)


def _chain(steps: list[tuple[str, str, StepKind, int]]) -> list[Step]:
    """Return steps of which each needs the one before: name, title, kind and tries of each."""
    before = ["", *(name for name, *_ in steps)]
    return [
        _step(name, title, kind, need, tries)
        for (name, title, kind, tries), need in zip(steps, before, strict=False)
    ]


def _step(name: str, title: str, kind: StepKind, needs: str, tries: int) -> Step:
    return Step(
        name=name, title=title, kind=kind, needs=[needs] if needs else [], group=MACHINE, max_attempts=tries
    )
