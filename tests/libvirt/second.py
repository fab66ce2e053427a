"""A second hypervisor on the same machine: libvirt's daemon in network and mount namespaces of its own.

A bridge of the room stands for the network between hypervisors; each has an address there, and the second reaches
Temporal, which listens on the room's loopback, at the first one's.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

FIRST, SECOND = "198.18.0.1", "198.18.0.2"
"""Addresses of the hypervisors (RFC 2544's range for benchmarks, which nothing else here uses)."""

ROOM = Path(__file__).with_name("room.sh")
FORWARD = """
table ip underlay {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip saddr {second} ip daddr {first} tcp dport {port} dnat to 127.0.0.1
    }}
}}
"""


class SecondHypervisor:
    """Namespaces that live as long as process ``pid``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.prefix = ("nsenter", "--target", str(pid), "--net", "--mount")

    def run(self, *command: str) -> str:
        """Run a command there; what it prints."""
        return subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True).stdout

    def domains(self) -> list[str]:
        """Return the names of all domains."""
        return self.run("virsh", "list", "--all", "--name").split()

    def stop(self) -> None:
        """End the daemons."""
        for name in ("libvirtd", "virtlogd"):
            pid_file = Path(f"/proc/{self.pid}/root/run/libvirt/{name}.pid")
            os.kill(int(pid_file.read_text()), signal.SIGTERM)


@contextlib.contextmanager
def second_hypervisor(temporal_port: int) -> Iterator[SecondHypervisor]:
    """Give a second hypervisor that reaches ``temporal_port`` of the room at ``FIRST``."""
    space = ["unshare", "--mount", "--net", "--propagation", "private"]
    process = subprocess.Popen(
        [*space, str(ROOM), "sh", "-c", "echo ready; exec sleep infinity"],
        env={**os.environ, "G8S_ROOM": "inside"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout
        with process.stdout as output:
            assert output.readline() == b"ready\n", "the second libvirt daemon does not start"
        second = SecondHypervisor(process.pid)
        _join(second, temporal_port)
        yield second
        second.stop()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
        subprocess.run(["ip", "link", "delete", "underlay"], check=True)


def _join(second: SecondHypervisor, temporal_port: int) -> None:
    """Join both by a bridge, and lead what is meant for Temporal to the loopback device."""
    ip = ("ip", "link", "add")
    subprocess.run([*ip, "underlay", "type", "bridge"], check=True)
    peer = ("type", "veth", "peer", "name", "underlay", "netns", str(second.pid))
    subprocess.run([*ip, "to-second", "master", "underlay", *peer], check=True)
    for command in (
        f"address add {FIRST}/24 dev underlay",
        "link set underlay up",
        "link set to-second up",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    second.run("ip", "address", "add", f"{SECOND}/24", "dev", "underlay")
    second.run("ip", "link", "set", "underlay", "up")
    Path("/proc/sys/net/ipv4/conf/underlay/route_localnet").write_text("1")
    rules = FORWARD.format(first=FIRST, second=SECOND, port=temporal_port)
    subprocess.run(["nft", "--file", "-"], input=rules, text=True, check=True)
