"""New keys for certificates that a machine holds: the old ones are used until the new are installed."""

from nodes.machine.boot import ensure_request
from nodes.machine.errors import MachineError
from nodes.machine.machine import Machine
from nodes.machine.requests import answer


def renew(machine: Machine, names: list[str]) -> str:
    """Return ``contracts.machines.MachineRequests`` as JSON: requests with new keys for ``names``.

    A key that has no certificate yet is asked with again, so that an answer that comes late still fits.
    Raises MachineError while the machine hasn't booted, and for certificates that it has no use for.
    """
    if foreign := sorted(set(names) - set(machine.certificates)):
        raise MachineError(f"machine {machine.name} has no use for {', '.join(foreign)}")
    if not machine.booted.exists():
        raise MachineError(f"machine {machine.name} has not booted yet")
    for name in names:
        if _in_use(machine, name):
            # First the request: one that is missing is made anew of the key that there is.
            (machine.keys / f"{name}.csr").unlink(missing_ok=True)
            (machine.keys / f"{name}.key").unlink()
        ensure_request(machine, name)
    return answer(machine, names)


def _in_use(machine: Machine, name: str) -> bool:
    key = machine.keys / f"{name}.key"
    return (
        machine.pki.holds(key.name)
        and key.exists()
        and (machine.pki.current / key.name).read_bytes() == key.read_bytes()
    )
