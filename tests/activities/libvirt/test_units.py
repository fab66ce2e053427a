"""What systemd says, read. The package libvirt itself is no part of this."""

import pytest

from activities.libvirt.units import machine_state, read_units, service_states
from contracts.machines import MachineState

BOOTED = "Id=giantnetes-boot.service\nActiveState=active\nSubState=exited\n"
BOOTING = "Id=giantnetes-boot.service\nActiveState=activating\nSubState=start\n"
FAILED = "Id=giantnetes-boot.service\nActiveState=failed\nSubState=failed\n"


def kubelet(active: str, sub: str, job: str = "") -> str:
    return f"\nId=kubelet.service\nActiveState={active}\nSubState={sub}\n{f'Job={job}' if job else ''}\n"


@pytest.mark.parametrize(
    ("text", "state", "service"),
    [
        (BOOTED + kubelet("active", "running"), MachineState.UP, "running"),
        (BOOTED + kubelet("inactive", "dead"), MachineState.UP, "stopped"),
        (BOOTED + kubelet("inactive", "dead", job="123"), MachineState.UP, "running"),
        (BOOTED + kubelet("activating", "start"), MachineState.UP, "running"),
        (BOOTED + kubelet("activating", "auto-restart"), MachineState.FAILED, "failed"),
        (BOOTED + kubelet("activating", "auto-restart", job="123"), MachineState.UP, "running"),
        (BOOTED + kubelet("failed", "failed"), MachineState.FAILED, "failed"),
        (BOOTING + kubelet("inactive", "dead"), MachineState.BOOTING, "stopped"),
        (FAILED + kubelet("inactive", "dead"), MachineState.FAILED, "stopped"),
    ],
)
def test_states(text: str, state: MachineState, service: str) -> None:
    units = read_units(text)
    assert machine_state(units) is state
    assert service_states(units) == {"kubelet": service}


def test_an_agent_without_units_is_still_booting() -> None:
    assert machine_state(read_units("")) is MachineState.BOOTING
