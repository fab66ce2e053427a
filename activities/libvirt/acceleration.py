"""Whether this machine's KVM can run guests. That its device can be opened is no proof: guests may stand still."""

import subprocess
from pathlib import Path
from typing import Literal

Kind = Literal["kvm", "qemu"]
"""libvirt's words for guests on the processor itself, and on an emulated one."""

EMULATOR = "qemu-system-x86_64"
PATIENCE_SECONDS = 30.0
"""An emulated processor takes four for the same."""


def best_kind(kernel: Path) -> Kind:
    """Return ``kvm`` when ``kernel`` was seen to run with it, else ``qemu``."""
    return "kvm" if runs_guests("kvm", kernel) else "qemu"


def runs_guests(accelerator: str, kernel: Path, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Boot ``kernel`` without a disk with QEMU's ``accelerator`` (kvm, tcg); say whether it came to its end.

    That end is a panic for want of a root file system, after which it is told to reboot and QEMU to exit.
    """
    command = [EMULATOR, "-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max"]
    command += ["-machine", "q35", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(kernel), "-append", "panic=-1"]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience_seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
