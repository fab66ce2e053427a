"""The chart as helm renders it, and as an API server takes it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.helm import helm as program
from tests.support.stack import say

CHART = Path(__file__).parents[3] / "deploy" / "chart"
NAMESPACE = "giantnetes"

Json = dict[str, Any]

NEEDED: Json = {
    "image": {"repository": "registry.example/giantnetes", "digest": f"sha256:{'a' * 64}"},
    "temporal": {"address": "temporal.example:7233"},
    "vault": {"address": "https://vault.example:8200"},
}
"""What every installation has to say."""

PROCESSES = (
    "bridge",
    *(f"worker-{queue}" for queue in ("workflows", "planning", "vault", "kubernetes", "probes", "host")),
)
PEERS = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
EVERYTHING: Json = {
    "image": {"repository": "registry.example/giantnetes", "tag": "0.1.0", "pullSecrets": ["registry"]},
    "site": "east",
    "temporal": {
        "address": "temporal.example:7233",
        "namespace": "clusters",
        "tls": {"secretName": "temporal-client", "serverName": "frontend"},
        "apiKey": {"secretName": "temporal-token"},
    },
    "vault": {
        "address": "https://vault.example",
        "ca": {"configMapName": "vault-ca"},
        "auth": {"method": "approle", "approleSecretName": "approles"},
    },
    "workers": {"probes": {"replicas": 5}},
    "quotas": {
        "default": {"clusters": 3},
        "owners": {"acme": {"machines": 7}},
        "namespaces": {"team": {"cores": 9}},
    },
    "networkPolicies": {
        **dict.fromkeys(("dns", "temporal", "vault", "kubernetes", "guests", "monitoring"), PEERS),
        "egress": [{"to": PEERS, "ports": [{"port": 4318}]}],
    },
    "monitoring": {"podMonitor": True, "rules": True, "dashboard": True, "labels": {"release": "prometheus"}},
    "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "platform", "operator": "Exists"}],
}


def helm(*arguments: str, values: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Run a command of helm that takes values."""
    return subprocess.run(
        [program(say), *arguments, "--values", "-", "--namespace", NAMESPACE],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(values: Mapping[str, Any] = NEEDED) -> list[Json]:
    """Return all objects of the chart."""
    done = helm("template", "giantnetes", str(CHART), values=values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(objects: list[Json], kind: str) -> dict[str, Json]:
    """Return objects of one kind by name, without our prefix."""
    found = [each for each in objects if each["kind"] == kind]
    return {each["metadata"]["name"].removeprefix("giantnetes-"): each for each in found}


def pod_specs(objects: list[Json]) -> dict[str, Json]:
    """Return what each process's pods are to be."""
    return {name: each["spec"]["template"]["spec"] for name, each in of_kind(objects, "Deployment").items()}


def variables(pod: Json) -> dict[str, Any]:
    """Return the variables of a pod's container, as values or as references."""
    (container,) = pod["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
