"""The commands of a simulated machine: the same answers as ``nodes.machine`` gives, over files in the world."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping

from activities.simulated.machines import INCOMING, KEYS, PKI, RENEWED, SECRETS
from contracts.certificates import held_by
from contracts.machines import SEALED, CommandResult, MachineRequests, MachineRole
from nodes.machine.errors import MachineError
from nodes.machine.keys import (
    check_certificate,
    make_key,
    make_request,
    make_sealing_certificate,
    make_sealing_key,
    open_envelope,
)
from nodes.machine.requests import LEAST_SECONDS
from nodes.v1.trust import authority_file

SEALING_KEY, SEALING_CERTIFICATE = "sealing.key", "sealing.crt"
NOT_FOUND = 127


def lacking_keys(database: sqlite3.Connection, machine: sqlite3.Row) -> list[str]:
    """Return the names of private keys that ``machine`` would have to make for its requests."""
    disk = _Disk(database, machine, {})
    names = [f"{certificate.name}.key" for certificate in held_by(disk.role, "simulated")]
    held = disk.read(KEYS)
    return [name for name in [*names, *([SEALING_KEY] if disk.wants_secrets() else [])] if name not in held]


def make_keys(names: Iterable[str]) -> dict[str, bytes]:
    """Make private keys by name: before a transaction, which all other clusters have to wait for."""
    return {name: make_sealing_key() if name == SEALING_KEY else make_key() for name in names}


def run(
    database: sqlite3.Connection, machine: sqlite3.Row, command: list[str], fresh: Mapping[str, bytes]
) -> CommandResult:
    """Run a command on ``machine``, a row of the world, which must be up; ``fresh`` are keys that it may take."""
    commands: dict[tuple[str, ...], Callable[[_Disk, list[str]], str]] = {
        ("giantnetes-machine", "requests"): _requests,
        ("giantnetes-machine", "renew"): _renew,
        ("giantnetes-machine", "install"): _install,
        ("giantnetes-machine", "seen"): _seen,
        ("giantnetes-machine", "explain"): _explain,
    }
    program = commands.get(tuple(command[:2]))
    if program is None:
        return CommandResult(exit_status=NOT_FOUND, stdout="", stderr=f"{command[0]}: command not found")
    try:
        return CommandResult(
            exit_status=0, stdout=program(_Disk(database, machine, fresh), command[2:]), stderr=""
        )
    except MachineError as error:
        return CommandResult(exit_status=1, stdout="", stderr=f"{error}\n")


class _Disk:
    """The files of a machine."""

    def __init__(self, database: sqlite3.Connection, machine: sqlite3.Row, fresh: Mapping[str, bytes]) -> None:
        self._database = database
        self._fresh = fresh
        self._key = (machine["cluster_id"], machine["name"])
        self.instance_id: str = machine["instance_id"]
        self.role = MachineRole(machine["role"])

    def read(self, folder: str) -> dict[str, str]:
        found = self._database.execute(
            "SELECT name, content FROM files WHERE cluster_id = ? AND machine = ? AND folder = ?",
            (*self._key, folder),
        )
        return {row["name"]: row["content"] for row in found}

    def write(self, folder: str, files: dict[str, str]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            [(*self._key, folder, name, content) for name, content in files.items()],
        )

    def remove(self, folder: str, *names: str) -> None:
        self._database.executemany(
            "DELETE FROM files WHERE cluster_id = ? AND machine = ? AND folder = ? AND name = ?",
            [(*self._key, folder, name) for name in names],
        )

    def ensure_key(self, name: str, make: Callable[[], bytes]) -> bytes:
        if name not in self.read(KEYS):
            self.write(KEYS, {name: (self._fresh.get(name) or make()).decode()})
        return self.read(KEYS)[name].encode()

    def wants_secrets(self) -> bool:
        return self.role is MachineRole.CONTROL_PLANE and not self.read(SECRETS)


def _requests(disk: _Disk, _: list[str]) -> str:
    valid = {name for name, end in disk.read(PKI).items() if float(end) > time.time() + LEAST_SECONDS}
    return _asked(disk, {certificate.name for certificate in held_by(disk.role, "simulated")} - valid)


def _renew(disk: _Disk, names: list[str]) -> str:
    """A key that has no certificate yet is asked with again."""
    if foreign := sorted(set(names) - {certificate.name for certificate in held_by(disk.role, "simulated")}):
        raise MachineError(f"the machine has no use for {', '.join(foreign)}")
    waiting = disk.read(RENEWED)
    for name in names:
        if name not in waiting:
            disk.remove(KEYS, f"{name}.key")
            disk.write(RENEWED, {name: ""})
    return _asked(disk, names)


def _asked(disk: _Disk, names: Iterable[str]) -> str:
    answer = MachineRequests(
        instance_id=disk.instance_id,
        requests={name: make_request(disk.ensure_key(f"{name}.key", make_key)).decode() for name in sorted(names)},
        sealing_certificate=_sealing_certificate(disk) if disk.wants_secrets() else "",
    )
    return answer.model_dump_json()


def _seen(disk: _Disk, credentials: list[str]) -> str:
    """What the machine's API server would have met: all of a machine use the newest at once."""
    del disk
    return "".join(f"{credential}\n" for credential in credentials)


def _sealing_certificate(disk: _Disk) -> str:
    key = disk.ensure_key(SEALING_KEY, make_sealing_key)
    certificate = disk.ensure_key(SEALING_CERTIFICATE, lambda: make_sealing_certificate(key, disk.instance_id))
    return certificate.decode()


def _install(disk: _Disk, _: list[str]) -> str:
    incoming = disk.read(INCOMING)
    disk.remove(INCOMING, *incoming)
    envelope = incoming.pop(SEALED, "")
    if envelope and disk.wants_secrets():
        keys = disk.read(KEYS)
        secrets = open_envelope(
            envelope.encode(), keys.get(SEALING_KEY, "").encode(), keys.get(SEALING_CERTIFICATE, "").encode()
        )
        # That they came and could be opened is what matters here; nothing needs what is in them.
        disk.write(SECRETS, dict.fromkeys(secrets, ""))
        disk.remove(KEYS, SEALING_KEY, SEALING_CERTIFICATE)
    _take_certificates(disk, incoming)
    missing = {certificate.name for certificate in held_by(disk.role, "simulated")} - set(disk.read(PKI))
    lacking = sorted(missing) + (["secrets"] if disk.wants_secrets() else [])
    return f"services wait for {', '.join(lacking)}\n" if lacking else ""


def _take_certificates(disk: _Disk, incoming: dict[str, str]) -> None:
    """Record until when each certificate is valid; all of them or, when one doesn't fit, none."""
    ends = {}
    for certificate in held_by(disk.role, "simulated"):
        if f"{certificate.name}.crt" in incoming:
            authority = incoming.get(f"{authority_file(certificate.authority)}.crt", "")
            key = disk.read(KEYS).get(f"{certificate.name}.key", "")
            content = incoming[f"{certificate.name}.crt"]
            end = check_certificate(certificate.name, content.encode(), authority.encode(), key.encode())
            ends[certificate.name] = str(end)
    disk.write(PKI, ends)
    disk.remove(RENEWED, *ends)


def _explain(disk: _Disk, _: list[str]) -> str:
    del disk
    return "nothing fails in a simulated machine\n"
