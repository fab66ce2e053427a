"""The activities on a guest cluster, for simulated machines: they look at the world and record what they made."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from temporalio import activity

from activities.probing import Prober
from activities.simulated import machines
from activities.simulated.faults import perform
from activities.simulated.provider import SimulatedProvider
from activities.simulated.world import World, note
from api.errors import ErrorCode
from contracts.activities import (
    AWAIT_API,
    AWAIT_NODES,
    DRAIN_NODE,
    ENSURE_ACCESS,
    ENSURE_ADDONS,
    UNCORDON_NODE,
    VERIFY_CLUSTER,
    VERIFY_SERVING,
)
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.guest import GuestReport, GuestRequest, ServingRequest
from contracts.machines import MachinePlan, MachineState
from contracts.reporting import ApiHealth
from planning.create import CONTROL_PLANE, machine_groups


def simulated_probes(provider: SimulatedProvider) -> list[Callable[..., Any]]:
    """Return the activities for the queue of probes of simulated clusters."""
    return [Prober(SimulatedGuest(provider.world).look).probe_api]


def simulated_guest_activities(provider: SimulatedProvider) -> list[Callable[..., Any]]:
    """Return the activities for the queue of the simulated provider."""
    guest = SimulatedGuest(provider.world)
    return [
        guest.await_api,
        guest.ensure_access,
        guest.ensure_addons,
        guest.await_nodes,
        guest.verify_cluster,
        guest.verify_serving,
        guest.drain_node,
        guest.uncordon_node,
    ]


class SimulatedGuest:
    """Steps on a guest cluster that exists in ``world`` alone. Every method raises only ``StepError``."""

    def __init__(self, world: World) -> None:
        """Look at and write to ``world``."""
        self._world = world

    @activity.defn(name=AWAIT_API)
    def await_api(self, request: GuestRequest) -> GuestReport:
        """See that the control plane machines are up and have what they need."""
        return self._do(AWAIT_API, request, ErrorCode.API_NOT_READY, [])

    @activity.defn(name=ENSURE_ACCESS)
    def ensure_access(self, request: GuestRequest) -> GuestReport:
        """Record the binding of administrators."""
        return self._do(ENSURE_ACCESS, request, ErrorCode.API_NOT_READY, ["access"])

    @activity.defn(name=ENSURE_ADDONS)
    def ensure_addons(self, request: GuestRequest) -> GuestReport:
        """Record the add-ons."""
        return self._do(ENSURE_ADDONS, request, ErrorCode.API_NOT_READY, ["coredns", "kube-proxy"])

    @activity.defn(name=AWAIT_NODES)
    def await_nodes(self, request: GuestRequest) -> GuestReport:
        """See that the machines are up and have what they need, and record their nodes."""
        nodes = [f"node/{machine.name}" for machine in request.machines]
        return self._do(AWAIT_NODES, request, ErrorCode.NODES_NOT_READY, nodes)

    @activity.defn(name=VERIFY_CLUSTER)
    def verify_cluster(self, request: GuestRequest) -> GuestReport:
        """See that the control plane is up, and that what the steps before made is there."""
        self._do(VERIFY_CLUSTER, request, ErrorCode.VERIFICATION_FAILED, [])
        with self._world.transaction() as database:
            found = {row["name"] for row in _objects(database, request.cluster.cluster_id)}
        if missing := {"access", "coredns", "kube-proxy"} - found:
            raise StepError(ErrorCode.VERIFICATION_FAILED, f"{', '.join(sorted(missing))} not found")
        return GuestReport(message="used the simulated cluster")

    @activity.defn(name=VERIFY_SERVING)
    def verify_serving(self, request: ServingRequest) -> GuestReport:
        """See that the machine is up with its certificates; it shows them to nobody."""
        machine = GuestRequest(cluster=request.cluster, machines=[request.machine])
        return self._do(VERIFY_SERVING, machine, ErrorCode.CERTIFICATE_NOT_SERVED, [])

    @activity.defn(name=DRAIN_NODE)
    def drain_node(self, request: GuestRequest) -> GuestReport:
        """Record that the nodes take no pods; there are none to move."""
        cluster_id, names = request.cluster.cluster_id, [machine.name for machine in request.machines]
        perform(self._world, DRAIN_NODE, partial(_set_cordoned, cluster_id=cluster_id, names=names, cordoned=True))
        return GuestReport(message="nothing to move")

    @activity.defn(name=UNCORDON_NODE)
    def uncordon_node(self, request: GuestRequest) -> GuestReport:
        """Record that the nodes take pods."""
        cluster_id, names = request.cluster.cluster_id, [machine.name for machine in request.machines]
        effect = partial(_set_cordoned, cluster_id=cluster_id, names=names, cordoned=False)
        perform(self._world, UNCORDON_NODE, effect)
        return GuestReport(message="pods are let onto the nodes")

    def look(self, cluster: ClusterContext) -> ApiHealth:
        """See which machines are up and have what they need."""
        groups = machine_groups(cluster.spec)
        with self._world.transaction() as database:
            up = {
                group: [plan.name for plan in plans if _is_up(database, cluster.cluster_id, plan.name)]
                for group, plans in groups.items()
            }
        serving = up.pop(CONTROL_PLANE)
        return ApiHealth(
            available=bool(serving),
            message="the simulated API answers" if serving else "no control plane machine is up",
            control_plane=serving,
            nodes=sorted(name for names in up.values() for name in names) if serving else [],
        )

    def _do(self, operation: str, request: GuestRequest, code: ErrorCode, objects: list[str]) -> GuestReport:
        cluster_id = request.cluster.cluster_id
        effect = partial(
            _look_and_record, cluster_id=cluster_id, wanted=request.machines, code=code, objects=objects
        )
        perform(self._world, operation, effect)
        return GuestReport(message=f"{operation} on {len(request.machines)} simulated machines")


def _is_up(database: sqlite3.Connection, cluster_id: str, name: str) -> bool:
    row = machines.find(database, cluster_id, name)
    return row is not None and machines.state_of(row) is MachineState.UP and machines.is_installed(database, row)


def _look_and_record(
    database: sqlite3.Connection, cluster_id: str, wanted: list[MachinePlan], code: ErrorCode, objects: list[str]
) -> None:
    for machine in wanted:
        row = machines.find(database, cluster_id, machine.name)
        if row is None or machines.state_of(row) is not MachineState.UP:
            raise StepError(code, f"machine {machine.name} is not up")
        if not machines.is_installed(database, row):
            raise StepError(code, f"machine {machine.name} has no certificates")
    for name in objects:
        made = database.execute("INSERT INTO objects VALUES (?, ?) ON CONFLICT DO NOTHING", (cluster_id, name))
        if made.rowcount:
            note(database, "created", "object", cluster_id, name)


def _set_cordoned(database: sqlite3.Connection, cluster_id: str, names: list[str], *, cordoned: bool) -> None:
    for name in names:
        statement = "INSERT INTO objects VALUES (?, ?) ON CONFLICT DO NOTHING"
        if not cordoned:
            statement = "DELETE FROM objects WHERE cluster_id = ? AND name = ?"
        database.execute(statement, (cluster_id, f"cordon/{name}"))


def _objects(database: sqlite3.Connection, cluster_id: str) -> list[sqlite3.Row]:
    return database.execute("SELECT name FROM objects WHERE cluster_id = ?", (cluster_id,)).fetchall()
