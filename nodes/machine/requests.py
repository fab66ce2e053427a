"""What a booted machine asks for."""

import json
import time
from collections.abc import Iterable

from nodes.machine.errors import MachineError
from nodes.machine.machine import Machine

VALIDITY = "validity.json"
"""File beside the certificates: name to the Unix time at which each ends, so that reading it needs no parser."""


LEAST_SECONDS = 3600
"""A certificate that ends sooner is asked for again: the rest of an operation should not outlive it."""


def requests(machine: Machine) -> str:
    """Return ``contracts.machines.MachineRequests`` as JSON: requests for what isn't held and valid for a while.

    Raises MachineError while the machine hasn't booted.
    """
    if not machine.booted.exists():
        raise MachineError(f"machine {machine.name} has not booted yet")
    return answer(machine, set(machine.certificates) - _valid(machine))


def answer(machine: Machine, names: Iterable[str]) -> str:
    """Return the requests for the certificates ``names``, with what secrets are to be sealed to, as JSON."""
    document = {
        "instance_id": machine.instance_id,
        "requests": {name: (machine.keys / f"{name}.csr").read_text() for name in sorted(names)},
        "sealing_certificate": "" if machine.holds_secrets() else machine.sealing_certificate.read_text(),
    }
    return json.dumps(document)


def _valid(machine: Machine) -> set[str]:
    if not machine.pki.holds(VALIDITY):
        return set()
    ends = json.loads((machine.pki.current / VALIDITY).read_text())
    return {name for name, end in ends.items() if end > time.time() + LEAST_SECONDS}
