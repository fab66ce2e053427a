"""What exists outside of Temporal, as seen by a test: with a root token, which no worker has."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hvac

from activities.local.provider import LocalProvider
from activities.local.supervisor import Supervisor
from activities.simulated.provider import SimulatedProvider
from activities.vault import AppRoles, Task, VaultSettings
from activities.vault.leftovers import VaultLeftovers
from activities.vault.paths import authority_mount
from contracts.machines import ClusterReference
from contracts.vault import Authority
from deploy import binaries
from deploy.stack import Stack, openbao
from workers.worker.wiring import installed

RESTART_S = 60.0


@contextlib.contextmanager
def root_client(stack: Stack) -> Iterator[Any]:
    """Give an hvac client with a root token, made with the recovery key and revoked at the end."""
    client = hvac.Client(url=stack.vault_address, token="", timeout=10)
    client.token = openbao._root_token(stack, client)
    try:
        yield client
    finally:
        client.auth.token.revoke_self()


def restart_openbao(stack: Stack) -> None:
    """Kill OpenBao and start it again; returns when it has unsealed itself."""
    supervisor(stack).stop_group("openbao", kill=True)
    supervisor(stack).start_group("openbao")
    deadline = time.monotonic() + RESTART_S
    while openbao.health(stack) != openbao.ACTIVE:
        assert time.monotonic() < deadline, "OpenBao does not come back"
        time.sleep(0.1)


def authorities(root: hvac.Client, cluster_id: str) -> dict[str, list[int]]:
    """Return how many CAs and how many keys each of the cluster's mounts holds, by what the CA is for."""
    mounts = {str(authority): authority_mount(cluster_id, authority) for authority in Authority}
    return {
        authority: [len(root.list(f"{mount}/{kind}")["data"]["keys"]) for kind in ("issuers", "keys")]
        for authority, mount in mounts.items()
    }


def in_vault(stack: Stack, cluster_id: str) -> Counter[str]:
    """Count what Vault holds of a cluster, by kind; every claim there is is looked at."""
    settings = VaultSettings(stack.vault_address, AppRoles(stack.approle_file("signer").parent))
    left = VaultLeftovers(settings.client(Task.MOUNT_ADMIN), settings.client(Task.REGISTRY))
    return Counter(item.kind for item in left.find(ClusterReference(cluster_id=cluster_id)).items)


def simulated(stack: Stack) -> SimulatedProvider:
    """Return a provider in the world of the stack's workers."""
    return SimulatedProvider(stack.state / "simulated" / "world.db")


def supervisor(stack: Stack) -> Supervisor:
    """Return a client of the stack's supervisord."""
    return Supervisor(stack.supervisor_socket, stack.supervisor_lock)


def local(stack: Stack) -> LocalProvider:
    """Return a provider of the stack's local machines."""
    balancer = binaries.tool("traefik")
    return LocalProvider(stack.state, supervisor(stack), stack.supervisor_socket, installed, balancer)


def left(stack: Stack, provider: str, cluster_id: str) -> list[object]:
    """Return what is left of a cluster: in Vault, and of its machines."""
    machines = (simulated(stack) if provider == "simulated" else local(stack)).list_left(cluster_id)
    return [*in_vault(stack, cluster_id), *machines]
