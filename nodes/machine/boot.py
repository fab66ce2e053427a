"""What happens when a machine is switched on."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nodes.machine.keys import make_key, make_request, make_sealing_certificate, make_sealing_key
from nodes.machine.machine import Machine
from nodes.machine.store import private_folder, write_file


def boot(machine: Machine) -> str:
    """Make everything but state and volumes anew; start the services if what they need is in place.

    Every step may be cut short and done again. Returns what to print: why the services wait, if they do.
    """
    if machine.root.exists():
        _clear(machine)
    for folder in (machine.root, *map(Path, machine.folders)):
        private_folder(folder)
    for path, content in machine.files.items():
        write_file(Path(path), content.encode())
    machine.pki.prune()
    machine.opened.prune()
    _ensure_keys(machine)
    write_file(machine.booted, machine.instance_id.encode())
    return start_services(machine)


def start_services(machine: Machine) -> str:
    """Start the services, or return which files they wait for."""
    if missing := machine.missing():
        return f"services wait for {', '.join(missing)}\n"
    if machine.socket:
        from nodes.machine.services import start  # noqa: PLC0415
    else:
        from nodes.machine.units import start  # noqa: PLC0415

    start(machine)
    return ""


def forget_sealing_key(machine: Machine) -> None:
    """Remove the pair that secrets were sealed to: nothing sealed to it can be opened any more."""
    machine.sealing_certificate.unlink(missing_ok=True)
    machine.sealing_key.unlink(missing_ok=True)


def ensure_request(machine: Machine, name: str) -> None:
    """Make what is missing of a certificate's key and the request with it."""
    key = _ensure_file(machine.keys / f"{name}.key", make_key)
    _ensure_file(machine.keys / f"{name}.csr", partial(make_request, key))


def _ensure_keys(machine: Machine) -> None:
    """Make what is missing: a key and a request for each certificate, and the pair to seal secrets to."""
    private_folder(machine.keys)
    for name in machine.certificates:
        ensure_request(machine, name)
    if machine.holds_secrets():
        forget_sealing_key(machine)
    else:
        key = _ensure_file(machine.sealing_key, make_sealing_key)
        _ensure_file(machine.sealing_certificate, partial(make_sealing_certificate, key, machine.instance_id))


def _ensure_file(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_file(path, make())
    return path.read_bytes()


def _clear(machine: Machine) -> None:
    """End what a dead supervisor left running, and wipe what doesn't outlive a boot."""
    import shutil  # noqa: PLC0415

    if machine.socket:  # systemd's services end with the kernel that they run on
        from nodes.machine.processes import end_processes  # noqa: PLC0415

        for process in end_processes(machine.folder, spare_children_of=os.getppid()):
            sys.stderr.write(f"ended process {process}, left from before this boot\n")
    shutil.rmtree(machine.root)
