"""A hypervisor that is switched off and on: what is in memory is gone, what is on its disks is there."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import psutil

from tests.libvirt.guests import links

FIREWALL = Path(__file__).parents[2] / "deploy" / "hypervisor" / "giantnetes-firewall.service"
PROGRAMS = ("libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-system-x86")


def reboot(folder: Path) -> None:
    """Take all processes, devices and rules of virtual machines from the room, then start what a boot starts.

    ``folder`` is the provider's. Its worker is not started: the hypervisor's own daemon is to do all.
    """
    ended = [process for process in psutil.process_iter(["name"]) if process.info["name"] in PROGRAMS]
    for process in ended:
        process.kill()
    psutil.wait_procs(ended, 10)
    for link in (*links("vxlan"), *links("bridge")):
        subprocess.run(["ip", "link", "delete", link], check=True)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    for path in Path("/run/libvirt").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    start_firewall(folder)
    for daemon in ("virtlogd", "libvirtd"):
        subprocess.run([daemon, "--daemon", "--pid-file", f"/run/libvirt/{daemon}.pid"], check=True)


def start_firewall(folder: Path) -> None:
    """Run the commands of the unit, as systemd does before libvirt's daemon."""
    environment = {**os.environ, "GIANTNETES_HYPERVISOR": str(folder)}
    for command in re.findall(r"^ExecStart(?:Pre)?=(.*)$", FIREWALL.read_text(), re.MULTILINE):
        subprocess.run(shlex.split(command.replace("$$", "$")), env=environment, check=True)
