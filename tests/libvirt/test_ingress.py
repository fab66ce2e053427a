"""The ingress controller of real nodes, reached from the hypervisor."""

import json
from pathlib import Path
from typing import Any

import requests

from tests.e2e.people import internal_address, ready_nodes
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import HTTP_PORT, MACHINES
from tests.libvirt.pods import SERVICE, web

pytestmark = in_a_room
NAMESPACE = "published"
HOST = "web.example.org"
INGRESS: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web"},
    "spec": {
        "ingressClassName": "traefik",
        "rules": [
            {
                "host": HOST,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "web", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ],
    },
}


def fetch(address: str, host: str) -> str:
    """Return what is answered for a host's name, or why there is no answer."""
    try:
        answer = requests.get(f"http://{address}:{HTTP_PORT}/health", headers={"Host": host}, timeout=20)
    except requests.RequestException as error:
        return str(error)
    return answer.text if answer.ok else str(answer.status_code)


def test_an_ingress_is_reached_from_the_hypervisor(guest: Guest, tmp_path: Path) -> None:
    # Where the control plane machine is the only one, the controller has to be let onto it, as people do then.
    guest.kubectl("taint", "nodes", "--all", "node-role.kubernetes.io/control-plane-", ok=None)
    guest.kubectl("create", "namespace", NAMESPACE)
    file = tmp_path / "objects.json"
    objects = [*web("web", MACHINES[-1]), SERVICE, INGRESS]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    guest.kubectl("apply", "--server-side", "--validate=ignore", "--namespace", NAMESPACE, "--filename", str(file))
    guest.wait_for_pods("--all", "--namespace", NAMESPACE)
    guest.wait_for_pods("--all", "--namespace", "traefik")
    address = internal_address(ready_nodes(guest.kubeconfig)[MACHINES[0]])
    guest.until(lambda: fetch(address, HOST) == "OK", "the ingress answers")
    assert fetch(address, "nobody.example.org") == "404"
    guest.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
