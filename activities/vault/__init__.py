"""Activities that run next to Vault: claims, certificate authorities, certificates, keys."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from activities.vault.authorities import Authorities
from activities.vault.client import VaultClient
from activities.vault.clients import ClientCertificates
from activities.vault.hypervisors import Hypervisors
from activities.vault.identity import Identities
from activities.vault.inventory import Inventory
from activities.vault.leftovers import VaultLeftovers
from activities.vault.login import AppRoles, Login, ServiceAccount
from activities.vault.placements import PlacementTable
from activities.vault.registry import Registry
from activities.vault.secrets import Secrets
from activities.vault.signing import Signing
from activities.vault.users import UserCertificates
from planning.files import read_model
from planning.quotas import Quotas

__all__ = [
    "AppRoles",
    "ServiceAccount",
    "Task",
    "VaultSettings",
    "inventory",
    "vault_activities",
    "worker_identities",
]


class Task(StrEnum):
    """A login with a policy of its own (deploy/stack/policies), and a role of the same name."""

    MOUNT_ADMIN = "mount-admin"
    SIGNER = "signer"
    SEALER = "sealer"
    REGISTRY = "registry"
    PLANNER = "planner"
    PROBER = "prober"


@dataclass(frozen=True)
class VaultSettings:
    """Where Vault is (a URL), and how tasks log in there."""

    address: str
    login: Login

    def client(self, task: Task) -> VaultClient:
        """Return a client of one task; it logs in with its first request."""
        return VaultClient(self.address, self.login, task)


def vault_activities(settings: VaultSettings, quotas: Path) -> list[Callable[..., Any]]:
    """Return the activities of the queue ``<site>.vault``, with one login for each task.

    ``quotas`` (YAML, ``planning.quotas.Quotas``) is read anew for each cluster.
    """
    tasks = (Task.MOUNT_ADMIN, Task.SIGNER, Task.SEALER, Task.REGISTRY)
    admin, signer, sealer, registry = (settings.client(task) for task in tasks)
    authorities = Authorities(admin)
    claims = Registry(registry, quotas=lambda: read_model(quotas, Quotas))
    secrets = Secrets(sealer, admin, claims)
    clients = ClientCertificates(admin, signer, registry)
    hypervisors, placements = Hypervisors(registry), PlacementTable(registry)
    return [
        claims.claim,
        claims.find,
        claims.complete,
        claims.release,
        authorities.ensure,
        authorities.delete,
        secrets.ensure,
        secrets.seal,
        secrets.delete,
        Signing(signer).sign,
        UserCertificates(admin, signer).sign,
        clients.find_authority,
        clients.sign,
        VaultLeftovers(admin, registry).find,
        hypervisors.enrolled,
        hypervisors.enrol,
        hypervisors.mark,
        hypervisors.forget,
        hypervisors.swept,
        hypervisors.silent,
        placements.place,
        placements.find,
        placements.networks,
        placements.vacate,
    ]


def inventory(settings: VaultSettings) -> Inventory:
    """Return what looks up registered clusters."""
    return Inventory(settings.client(Task.PLANNER))


def worker_identities(settings: VaultSettings) -> Identities:
    """Return the source of our own client certificates; one for a process, as it keeps them in memory."""
    return Identities(settings.client(Task.PROBER))
