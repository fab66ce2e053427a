"""Switching machines on and off: what the supervisor runs, and proof that nothing runs any more."""

from collections.abc import Iterable

from activities.local.addresses import check_ports
from activities.local.assembly import PROGRAMS
from activities.local.folders import Folders
from activities.local.groups import BOOT, restore_log_folders
from activities.local.supervisor import ProcessState, State, Supervisor
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import MachineState
from nodes.machine.processes import end_processes, find_processes
from nodes.machine.store import private_folder, write_file

_SERVICE_STATES = {
    State.STARTING: "running",
    State.RUNNING: "running",
    State.BACKOFF: "failed",
    State.FATAL: "failed",
    State.UNKNOWN: "failed",
}


class Power:
    """The switch of every machine. A machine is on when the supervisor has its include file."""

    def __init__(self, folders: Folders, supervisor: Supervisor) -> None:
        """Use the supervisor that reads the include files of ``folders``."""
        self._folders = folders
        self._supervisor = supervisor

    def on(self, cluster_id: str, name: str, address: str, ports: Iterable[int]) -> None:
        """Start a machine; one whose boot failed or was stopped starts again; one that is on is left alone.

        Raises ADDRESS_IN_USE before anything is started.
        """
        programs = self.programs(cluster_id, name)
        if boot_failed(programs) or boot_stopped(programs):
            self.off(cluster_id, name)
        elif programs:
            return
        check_ports(address, ports)
        include = self._folders.include(cluster_id, name)
        private_folder(include.parent)
        write_file(include, (self._folders.machine(cluster_id, name) / PROGRAMS).read_bytes())
        restore_log_folders(include.parent)
        self._supervisor.add_group(self._folders.group(cluster_id, name))

    def off(self, cluster_id: str, name: str) -> None:
        """Take a machine's power, also across a restart of the supervisor; return when it is seen stopped."""
        folder = self._folders.machine(cluster_id, name)
        self._folders.include(cluster_id, name).unlink(missing_ok=True)
        self._supervisor.remove_group(self._folders.group(cluster_id, name), kill=True)
        try:
            end_processes(folder)
        except TimeoutError as error:
            raise StepError(ErrorCode.NOT_GONE, f"{cluster_id}/{name}: {error}") from error
        if left := find_processes(folder):
            raise StepError(ErrorCode.NOT_GONE, f"{cluster_id}/{name}: process {left[0].pid} was just started")

    def programs(self, cluster_id: str, name: str) -> dict[str, ProcessState]:
        """Return what the supervisor runs for a machine, by name; empty when it is off."""
        return self._supervisor.states(self._folders.group(cluster_id, name))

    def on_now(self, cluster_id: str = "") -> set[tuple[str, str]]:
        """Return cluster id and name of each machine that the supervisor has: of one cluster, or of all."""
        groups = {found.group for found in self._supervisor.all_states()}
        machines = {(group.partition(".")[0], group.partition(".")[2]) for group in groups if "." in group}
        return {machine for machine in machines if cluster_id in {"", machine[0]}}


def boot_failed(programs: dict[str, ProcessState]) -> bool:
    """Return whether the machine's boot ended with an error."""
    boot = programs.get(BOOT)
    return boot is not None and (
        boot.state is State.FATAL or (boot.state is State.EXITED and boot.exit_status != 0)
    )


def boot_stopped(programs: dict[str, ProcessState]) -> bool:
    """Return whether the machine's boot was stopped before its end; one that was just added never ran."""
    boot = programs.get(BOOT)
    return boot is not None and boot.state is State.STOPPED and boot.since > 0


def to_revive(programs: dict[str, ProcessState]) -> list[ProcessState]:
    """Return what has to be started to bring a machine (or an endpoint, which has no boot) back.

    The boot alone where it did not end well, as it starts the services itself. Else whatever ran once and was
    stopped or given up on, and what waits ever longer for its next start; services that wait for their
    certificates have never run.
    """
    if boot_failed(programs) or boot_stopped(programs):
        return [programs[BOOT]]
    down = {State.FATAL, State.BACKOFF, State.STOPPED}
    return [found for found in programs.values() if found.state in down and (found.since or BOOT not in programs)]


def machine_state(programs: dict[str, ProcessState]) -> MachineState:
    """Return the state of a machine that exists."""
    if not programs or boot_stopped(programs):
        return MachineState.STOPPED
    if boot_failed(programs) or "failed" in service_states(programs).values():
        return MachineState.FAILED
    booted = programs[BOOT].state is State.EXITED
    return MachineState.UP if booted else MachineState.BOOTING


def service_states(programs: dict[str, ProcessState]) -> dict[str, str]:
    """Return running, stopped or failed for each service."""
    return {
        name: _SERVICE_STATES.get(program.state, "stopped") for name, program in programs.items() if name != BOOT
    }
