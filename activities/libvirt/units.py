"""What systemd on a machine says of its units (systemctl(1), "show")."""

from collections.abc import Mapping

from contracts.machines import MachineState
from nodes.systemd import BOOT_UNIT

UNITS_COMMAND = ["/usr/bin/systemctl", "show", "--property=Id,ActiveState,SubState,Job", BOOT_UNIT]
"""With units of services after it."""

_SERVICE_STATES = {"active": "running", "activating": "running", "reloading": "running", "failed": "failed"}


def read_units(text: str) -> dict[str, Mapping[str, str]]:
    """Return the properties of each unit by its name without ``.service``."""
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")
    )
    return {block["Id"].removesuffix(".service"): block for block in blocks if "Id" in block}


def machine_state(units: Mapping[str, Mapping[str, str]]) -> MachineState:
    """Return the state of a machine whose agent answers."""
    boot = units.get(BOOT_UNIT.removesuffix(".service"), {})
    if boot.get("ActiveState") == "failed" or "failed" in service_states(units).values():
        return MachineState.FAILED
    return MachineState.UP if boot.get("ActiveState") == "active" else MachineState.BOOTING


def service_states(units: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return running, stopped or failed for each service."""
    boot = BOOT_UNIT.removesuffix(".service")
    return {name: _service_state(unit) for name, unit in units.items() if name != boot}


def _service_state(unit: Mapping[str, str]) -> str:
    """One whose start is queued, as it waits for what it needs, counts as running.

    One that rests before its next start has failed.
    """
    if unit.get("Job", "0") not in {"", "0"}:
        return "running"
    if unit.get("SubState") == "auto-restart":
        return "failed"
    return _SERVICE_STATES.get(unit["ActiveState"], "stopped")
