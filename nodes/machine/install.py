"""Taking over what was written to the incoming folder."""

import json
from collections.abc import Mapping

from nodes.machine.boot import forget_sealing_key, start_services
from nodes.machine.errors import MachineError
from nodes.machine.keys import check_certificate, open_envelope
from nodes.machine.machine import Machine
from nodes.machine.requests import VALIDITY

SEALED = "sealed.p7m"
"""``contracts.machines.SEALED``, without that module's imports."""


def install(machine: Machine) -> str:
    """Open sealed secrets, check certificates, switch to them, start services; keep nothing in ``incoming``.

    May be cut short and done again at any point: secrets, and certificates with their keys, are either the old
    or the new. Returns what to print. Raises MachineError when something doesn't fit, which is then thrown away.
    """
    if not machine.booted.exists():
        raise MachineError(f"machine {machine.name} has not booted yet")
    incoming = _incoming(machine)
    try:
        _take_secrets(machine, incoming.pop(SEALED, b""))
        _take_certificates(machine, incoming)
    finally:
        for file in machine.incoming.glob("*"):
            file.unlink()
    return start_services(machine)


def _incoming(machine: Machine) -> dict[str, bytes]:
    if not machine.incoming.exists():
        return {}
    return {file.name: file.read_bytes() for file in machine.incoming.iterdir() if not file.name.startswith(".")}


def _take_secrets(machine: Machine, envelope: bytes) -> None:
    """An envelope that comes again, when its first answer was lost, finds the secrets in place."""
    if envelope and not machine.holds_secrets():
        secrets = open_envelope(
            envelope, machine.sealing_key.read_bytes(), machine.sealing_certificate.read_bytes()
        )
        if lacking := sorted(set(machine.secrets) - set(secrets)):
            raise MachineError(f"the sealed secrets lack {', '.join(lacking)}: seal them again")
        machine.opened.switch({name: secrets[name].encode() for name in machine.secrets})
    if machine.holds_secrets():
        forget_sealing_key(machine)


def _take_certificates(machine: Machine, incoming: Mapping[str, bytes]) -> None:
    if not incoming:
        return
    known = {f"{name}.crt" for name in (*machine.certificates, *machine.authorities)}
    if foreign := sorted(set(incoming) - known):
        raise MachineError(f"machine {machine.name} has no use for {', '.join(foreign)}")
    files = {name: content for name, content in {**machine.pki.read(), **incoming}.items() if name in known}
    validity = {}
    for name, authority in machine.certificates.items():
        if f"{name}.crt" in files:
            key = _key(machine, name, incoming)
            validity[name] = check_certificate(name, files[f"{name}.crt"], files.get(f"{authority}.crt", b""), key)
            files[f"{name}.key"] = key
    machine.pki.switch({**files, VALIDITY: json.dumps(validity).encode()})


def _key(machine: Machine, name: str, incoming: Mapping[str, bytes]) -> bytes:
    """Return the key of a certificate: a newer one than that in use may wait for its certificate."""
    used = machine.pki.current / f"{name}.key"
    asked = machine.keys / f"{name}.key"
    return (used if f"{name}.crt" not in incoming and used.exists() else asked).read_bytes()
