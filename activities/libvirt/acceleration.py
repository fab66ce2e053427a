"""Whether this machine's KVM can run guests. That its device can be opened is no proof: guests may stand still."""

import subprocess
from pathlib import Path
from typing import Literal

Kind = Literal["kvm", "qemu"]
"""libvirt's words for guests on the processor itself, and on an emulated one."""

EMULATOR = "qemu-system-x86_64"
PATIENCE_SECONDS = 30.0
"""An emulated processor takes four for the same."""


def chosen_kind(wanted: str, kernel: Path) -> Kind:
    """Return how machines run: as ``wanted``, or with KVM if ``kernel`` was seen to, where that is empty.

    RuntimeError when it names nothing that there is, or KVM where no guest runs.
    """
    if wanted == "qemu":
        return "qemu"
    if wanted not in {"", "kvm"}:
        raise RuntimeError(f"GIANTNETES_VIRTUALIZATION is {wanted!r}: choose kvm or qemu, or leave it empty")
    if runs_guests("kvm", kernel):
        return "kvm"
    if wanted:
        raise RuntimeError("KVM runs no guests here: mend that, or set GIANTNETES_VIRTUALIZATION to qemu (slow)")
    return "qemu"


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
