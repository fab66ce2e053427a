"""Machines in a simulated world (``contracts.machines.Provider``), for tests of scale and of bad days."""

import sqlite3
from functools import partial
from pathlib import Path

from activities.simulated import commands, machines
from activities.simulated.faults import perform, read
from activities.simulated.world import World
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import (
    REQUESTS_COMMAND,
    CommandResult,
    Leftover,
    MachineFacts,
    MachineObservation,
    MachinePlan,
    MachineState,
)


class SimulatedProvider:
    """Fulfils ``contracts.machines.Provider`` in the world at ``path``, with the faults that wait there."""

    def __init__(self, path: Path) -> None:
        """Open the world, or make it."""
        self.world = World(path)

    def ensure_endpoint(self, cluster: ClusterContext, slots: list[MachinePlan]) -> None:
        """Make the endpoint of several slots exist."""
        if len(slots) > 1:
            perform(self.world, "ensure_endpoint", partial(machines.ensure_endpoint, cluster=cluster))

    def ensure_machine(
        self,
        cluster: ClusterContext,
        machine: MachinePlan,
        slots: list[MachinePlan],  # noqa: ARG002 - nothing in a simulated machine speaks to another
    ) -> MachineFacts:
        """Make the machine exist and boot."""
        effect = partial(machines.ensure_machine, cluster=cluster, machine=machine)
        return perform(self.world, "ensure_machine", effect)

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        """Look at one machine."""
        look = partial(machines.observe, cluster_id=cluster_id, name=name)
        found = read(self.world, "observe_machine", f"{cluster_id}/{name}", look)
        if found is None:
            return MachineObservation(name=name, state=MachineState.ABSENT)
        return MachineObservation.model_validate(found)

    def fence_machine(
        self,
        cluster_id: str,
        name: str,
        instance_id: str | None = None,
        *,
        graceful: bool = False,  # noqa: ARG002 - nothing in a simulated machine takes time to end
    ) -> None:
        """Switch the machine off."""
        effect = partial(machines.switch_off, cluster_id=cluster_id, name=name, instance_id=instance_id)
        perform(self.world, "fence_machine", effect)

    def delete_machine(self, cluster_id: str, name: str, instance_id: str | None = None) -> None:
        """Remove the machine; the volume of its slot stays."""
        effect = partial(machines.delete_machine, cluster_id=cluster_id, name=name, instance_id=instance_id)
        perform(self.world, "delete_machine", effect)

    def write_files(self, cluster_id: str, name: str, files: dict[str, str]) -> None:
        """Write files into the machine's incoming folder."""

        def write(database: sqlite3.Connection) -> None:
            machines.refuse_deleted(database, cluster_id)
            _existing(database, cluster_id, name)
            database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(cluster_id, name, machines.INCOMING, file, content) for file, content in files.items()],
            )

        perform(self.world, "write_files", write)

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        """Run a command on the machine, which must have booted."""
        fresh = self._fresh_keys(cluster_id, name) if command == REQUESTS_COMMAND else {}

        def run(database: sqlite3.Connection) -> CommandResult:
            machine = _existing(database, cluster_id, name)
            if machines.state_of(machine) is not MachineState.UP:
                raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {name} of {cluster_id} is not up")
            return commands.run(database, machine, command, fresh)

        return perform(self.world, "run_command", run)

    def _fresh_keys(self, cluster_id: str, name: str) -> dict[str, bytes]:
        with self.world.transaction() as database:
            machine = machines.find(database, cluster_id, name)
            lacking = commands.lacking_keys(database, machine) if machine else []
        return commands.make_keys(lacking)

    def delete_all(self, cluster_id: str) -> None:
        """Remove everything of the cluster and refuse to make anything of it again."""
        perform(self.world, "delete_all", partial(machines.delete_all, cluster_id=cluster_id))

    def list_left(self, cluster_id: str = "") -> list[Leftover]:
        """List what exists of one cluster, or of all."""
        look = partial(machines.list_left, cluster_id=cluster_id)
        found = read(self.world, "list_left", cluster_id, look)
        return [Leftover.model_validate(item) for item in found or []]


def _existing(database: sqlite3.Connection, cluster_id: str, name: str) -> sqlite3.Row:
    machine = machines.find(database, cluster_id, name)
    if machine is None:
        raise StepError(ErrorCode.MACHINE_NOT_READY, f"there is no machine {name} of {cluster_id}")
    return machine
