"""Pods that talk to each other, of images that a release disk has: CoreDNS serves, pause is where clients live.

A client is a line of shell or Python that the node runs in the pod's network namespace, as no image has a shell.
"""

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from activities.libvirt.places import Places
from planning.releases import load_releases
from tests.support.stack import RELEASE

if TYPE_CHECKING:  # the package libvirt is an extra
    from activities.libvirt.hypervisor import Hypervisor

WEB_PORT = 8080
"""CoreDNS answers ``/health`` there."""

_SECONDS = 8
"""Emulated machines answer late; what is dropped is waited for in vain."""

_CONNECT = "timeout {seconds} bash -c '</dev/tcp/{address}/{port}' && echo connected || echo refused"
"""Not Python, which an emulated machine takes seconds to start: a policy is tried by six at a time."""

_RESOLVE = """
import socket, struct, sys
name = b"".join(bytes([len(part)]) + part.encode() for part in sys.argv[2].split(".")) + b"\\0"
query = struct.pack("!6H", 1, 256, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout({seconds})
client.sendto(query, (sys.argv[1], 53))
answer = client.recv(512)
print(socket.inet_ntoa(answer[-4:]) if answer[7] else "no answer section")
"""
_FIND = """
for space in /var/run/netns/*; do
    if nsenter --net="$space" ip -4 address show | grep -q "inet {address}/"; then
        echo "$space"
        exit
    fi
done
echo no such pod >&2
exit 1
"""


@dataclass
class Pods:
    """What runs in a guest, and a way into the pods' networks by the nodes' guest agents."""

    cluster_id: str
    hypervisor: "Hypervisor"
    places: Places
    _spaces: dict[str, str] = field(default_factory=dict)

    def connects(self, pod: dict[str, Any], address: str, port: int) -> bool:
        """Say whether a pod reaches a TCP port."""
        return self._run(pod, _CONNECT.format(seconds=_SECONDS, address=address, port=port)) == "connected"

    def resolve(self, pod: dict[str, Any], server: str, name: str) -> str:
        """Return the address that a name server gives a pod for a name."""
        command = ["python3", "-c", _RESOLVE.format(seconds=_SECONDS), server, name]
        return self._run(pod, shlex.join(command))

    def machine_connects(self, machine: str, address: str, port: int) -> bool:
        """Say whether a machine itself reaches a TCP port."""
        command = _CONNECT.format(seconds=_SECONDS, address=address, port=port)
        return self.on_machine(machine, command) == "connected"

    def on_machine(self, machine: str, script: str) -> str:
        """Run a shell script on a machine."""
        from activities.libvirt.agent import Agent  # noqa: PLC0415

        domain = self.hypervisor.domain(self.places.domain(self.cluster_id, machine))
        assert domain is not None, machine
        result = Agent(domain).run(["/bin/bash", "-c", script])
        assert result.exit_status == 0, result.stderr
        return result.stdout.strip()

    def _run(self, pod: dict[str, Any], command: str) -> str:
        """Run a line of shell in a pod's network namespace, which is looked for once: that takes its time."""
        address, machine = pod["status"]["podIP"], pod["spec"]["nodeName"]
        sandbox = f"{pod['metadata']['uid']} {address}"
        if sandbox not in self._spaces:
            self._spaces[sandbox] = self.on_machine(machine, _FIND.format(address=address))
        inside = shlex.join(["nsenter", f"--net={self._spaces[sandbox]}", "bash", "-c", command])
        return self.on_machine(machine, inside)


def web(name: str, node: str) -> list[dict[str, Any]]:
    """Return a server on a node."""
    corefile = f".:5353 {{\n    health :{WEB_PORT}\n    whoami\n}}\n"
    image = load_releases()[RELEASE].coredns.reference()
    container = {
        "name": "web",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": WEB_PORT}, "timeoutSeconds": 10},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    volumes = [{"name": "config", "configMap": {"name": name}}]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"Corefile": corefile}},
        _pod(name, node, {"app": "web", "on": node}, container, volumes=volumes),
    ]


def client(name: str, node: str, **labels: str) -> dict[str, Any]:
    """Return a pod on a node whose network clients are run in."""
    container = {"name": "pause", "image": load_releases()[RELEASE].pause.reference(prefix="")}
    return _pod(name, node, labels, container)


def _pod(name: str, node: str, labels: dict[str, str], container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": WEB_PORT}]},
}
"""In front of all servers."""


def service(name: str, **selector: str) -> dict[str, Any]:
    """Return a service in front of the servers with these labels."""
    return {**SERVICE, "metadata": {"name": name}, "spec": {**SERVICE["spec"], "selector": selector}}


def policy(name: str, *sources: dict[str, Any]) -> dict[str, Any]:
    """Return a policy that lets only ``sources`` (peers of a rule) reach the servers; nobody if there is none."""
    rules = [{"from": list(sources)}] if sources else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": rules},
    }


def outward(name: str, kind: str, *targets: dict[str, Any]) -> dict[str, Any]:
    """Return a policy by which clients of a kind reach only ``targets`` (peers of a rule), nobody without any."""
    rules = [{"to": list(targets)}] if targets else []
    return {
        **policy(name),
        "spec": {"podSelector": {"matchLabels": {"kind": kind}}, "policyTypes": ["Egress"], "egress": rules},
    }


def default_deny(name: str) -> dict[str, Any]:
    """Return the policy that lets nothing to or from any pod of its namespace."""
    return {**policy(name), "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
