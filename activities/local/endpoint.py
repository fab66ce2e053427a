"""One address in front of three API servers: Traefik, passing TCP through (doc.traefik.io, "TCP services")."""

from pathlib import Path

import yaml

from contracts.context import ClusterContext
from contracts.machines import MachinePlan
from nodes.model import Service

NAME = "traefik"
STATIC = "traefik.yaml"
ROUTES = "routes.yaml"
CHECK_INTERVAL = "1s"


def endpoint_files(folder: Path, cluster: ClusterContext, slots: list[MachinePlan]) -> dict[str, str]:
    """Return Traefik's configuration, by file name in ``folder``."""
    return {ROUTES: _routes(cluster, slots), STATIC: _static(cluster, folder / ROUTES)}


def endpoint_service(folder: Path, binary: Path) -> Service:
    """Return the balancer that the files in ``folder`` configure."""
    return Service(NAME, (str(binary), f"--configFile={folder / STATIC}"))


def _static(cluster: ClusterContext, routes: Path) -> str:
    """Say what Traefik is: one port, no dashboard, no call to anyone outside."""
    address = f"{cluster.address(cluster.endpoint_host)}:{cluster.spec.network.api_port}"
    return yaml.safe_dump(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "entryPoints": {"kubernetes": {"address": address}},
            "providers": {"file": {"filename": str(routes), "watch": False}},
            "log": {"level": "INFO", "noColor": True},
        },
        sort_keys=False,
    )


def _routes(cluster: ClusterContext, slots: list[MachinePlan]) -> str:
    """Say where connections go: to the API servers whose port answers, TLS untouched."""
    port = cluster.spec.network.api_port
    balancer = {
        "servers": [{"address": f"{cluster.address(slot.host)}:{port}"} for slot in slots],
        "healthCheck": {"interval": CHECK_INTERVAL, "timeout": CHECK_INTERVAL},
    }
    router = {"entryPoints": ["kubernetes"], "rule": "HostSNI(`*`)", "service": "kubernetes"}
    return yaml.safe_dump(
        {"tcp": {"routers": {"kubernetes": router}, "services": {"kubernetes": {"loadBalancer": balancer}}}},
        sort_keys=False,
    )
