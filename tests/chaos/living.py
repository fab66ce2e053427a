"""Local clusters as seen on this machine: processes, certificates, and kubectl."""

import contextlib
import json
import os
import subprocess
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cryptography import x509

from activities.keys import fits
from deploy.stack import Stack
from nodes.machine.processes import find_marked
from planning.releases import load_releases
from tests.chaos import outside
from tests.support.stack import RELEASE
from workers.worker.wiring import installed

SECONDS = 60
SERVICES = Counter(
    {
        "control-plane-1/etcd": 1,
        "control-plane-1/kube-apiserver": 1,
        "control-plane-1/kube-controller-manager": 1,
        "control-plane-1/kube-scheduler": 1,
        "workers-1/hollow-node": 1,
    }
)
"""The processes of a cluster of one control plane machine and one node."""


@dataclass(frozen=True)
class Seen:
    """A cluster on this machine: nodes that are Ready, processes, and the programs that supervisord knows."""

    nodes: list[str]
    services: Counter[str]
    programs: Counter[str]

    def check(self) -> None:
        """See that kubectl shows the one node, and that every process and every program is there once."""
        assert self.nodes == ["workers-1"]
        assert self.services == SERVICES
        assert set(self.programs.values()) == {1}


def see(stack: Stack, namespace: str, name: str, cluster_id: str, folder: Path) -> Seen:
    """Look at a cluster that an entity in ``namespace`` of Temporal keeps; ``folder`` gets a kubeconfig."""
    config = kubeconfig(stack, namespace, name, folder / f"{name}.yaml")
    known = outside.supervisor(stack).all_states()
    programs = Counter(found.path for found in known if found.group.startswith(f"{cluster_id}."))
    services = Counter({name: len(found) for name, found in pids(stack, cluster_id).items()})
    return Seen(ready_nodes(config), services, programs)


def traces(stack: Stack, cluster_id: str) -> list[object]:
    """Return what is still there of a deleted cluster on this machine and in Vault."""
    folders = (stack.state / "machines", stack.state / "volumes", stack.machines)
    kept = [path for folder in folders for path in folder.glob(f"{cluster_id}*")]
    return [*kept, *processes(stack, cluster_id).items(), *outside.left(stack, "local", cluster_id)]


def kubeconfig(stack: Stack, namespace: str, name: str, target: Path) -> Path:
    """Have g8s write a kubeconfig for an administrator of a cluster in a namespace of Temporal."""
    g8s = Path(sysconfig.get_path("scripts")) / "g8s"
    group = ("--group", "giantnetes:cluster-admins", "--break-glass")
    _run(
        [str(g8s), "kubeconfig", name, *group, "--output", str(target)],
        TEMPORAL_ADDRESS=stack.temporal_address,
        TEMPORAL_NAMESPACE=namespace,
    )
    return target


def kubectl(config: Path, *arguments: str) -> str:
    """Run the release's own kubectl."""
    program = installed(load_releases()[RELEASE])["kubectl"]
    return _run([str(program), "--kubeconfig", str(config), *arguments])


def ready_nodes(config: Path) -> list[str]:
    """Return the nodes that kubectl shows as Ready, sorted."""
    nodes: list[dict[str, Any]] = json.loads(kubectl(config, "get", "nodes", "--output", "json"))["items"]
    return sorted(
        node["metadata"]["name"]
        for node in nodes
        if {"Ready": "True"}.items()
        <= {item["type"]: item["status"] for item in node["status"]["conditions"]}.items()
    )


def processes(stack: Stack, cluster_id: str) -> dict[str, list[psutil.Process]]:
    """Return the living processes of a cluster's machines, by ``machine/program``."""
    found: dict[str, list[psutil.Process]] = {}
    for folder, process in find_marked(stack.state / "machines" / cluster_id):
        found.setdefault(f"{folder.name}/{process.name()}", []).append(process)
    return found


def pids(stack: Stack, cluster_id: str) -> dict[str, list[int]]:
    """Return the ids of the components among them; the program that looks at a machine comes and goes."""
    return {
        name: sorted(each.pid for each in found)
        for name, found in processes(stack, cluster_id).items()
        if not name.split("/")[1].startswith("python")
    }


def instances(stack: Stack, cluster_id: str) -> dict[str, str]:
    """Return the instance id of each machine."""
    documents = (stack.state / "machines" / cluster_id).glob("*/machine.json")
    return {file.parent.name: json.loads(file.read_text())["instance_id"] for file in documents}


def serials(stack: Stack, cluster_id: str) -> dict[str, int]:
    """Return the serial number of each certificate that is in use on a machine, CAs among them."""
    folder = stack.state / "machines" / cluster_id
    files = folder.glob("*/state/pki/current/*.crt")
    return {
        str(file.relative_to(folder)): x509.load_pem_x509_certificate(file.read_bytes()).serial_number
        for file in files
    }


def pairs(stack: Stack, cluster_id: str) -> dict[str, x509.Certificate]:
    """Return the certificates that components use, after seeing that each has its own key beside it."""
    return {
        f"{current.parents[2].name}/{name}": certificate
        for current in (stack.state / "machines" / cluster_id).glob("*/state/pki/current")
        for name, certificate in _pairs(current).items()
    }


def _pairs(current: Path) -> dict[str, x509.Certificate]:
    """Return the certificates of one generation: the next may follow at any moment, and this one be removed."""
    while True:
        generation = current.resolve()
        with contextlib.suppress(FileNotFoundError):
            found = {key.stem: _pair(key) for key in [*generation.iterdir()] if key.suffix == ".key"}
            if current.resolve() == generation:
                return found


def _pair(key: Path) -> x509.Certificate:
    certificate = key.with_suffix(".crt").read_text()
    assert fits(certificate, key.read_text()), key
    return x509.load_pem_x509_certificate(certificate.encode())


def _run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
