"""Asking systemd to start the machine's services, and what they wrote to its journal."""

import subprocess

from nodes.machine.errors import MachineError
from nodes.machine.machine import Machine

BOOT = "boot"
LINES = 200


def start(machine: Machine) -> None:
    """Start all services without waiting for them; those that run are left alone.

    Raises MachineError when systemd refuses.
    """
    units = [f"{service}.service" for service in machine.services]
    done = subprocess.run(
        ["systemctl", "--no-block", "start", *units], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MachineError(f"systemd does not start services: {done.stderr.strip()}")


def journal(program: str) -> str:
    """Return the newest lines that a service, or the boot itself, wrote."""
    unit = "giantnetes-boot" if program == BOOT else program
    command = ["journalctl", f"--unit={unit}.service", f"--lines={LINES}", "--output=cat", "--no-pager"]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
