"""What Vault still holds of a cluster, or of all."""

from collections.abc import Callable
from functools import partial

from temporalio import activity

from activities.parallel import gather
from activities.vault.client import VaultClient
from activities.vault.paths import (
    CLUSTERS,
    ISSUANCES,
    NETWORKS,
    SECRETS,
    authority_prefix,
    issuance_folder,
    network_of,
    secret_folder,
)
from activities.vault.registry import Registry
from contracts import activities as names
from contracts.machines import ClusterReference, Leftover, Leftovers

AUTHORITY, SECRET, ISSUANCE, NETWORK, REGISTRY = "authority", "secret", "issuance", "network", "registry"
"""Kinds of what may be left."""


class VaultLeftovers:
    """Lists mounts and keys as the task ``mount-admin``, claims as ``registry``."""

    def __init__(self, admin: VaultClient, registry: VaultClient) -> None:
        """Use the logins of both tasks."""
        self._admin = admin
        self._vault = registry
        self._registry = Registry(registry)

    @activity.defn(name=names.LIST_VAULT_LEFTOVERS)
    def find(self, reference: ClusterReference) -> Leftovers:
        """List CAs, keys, and claims that are not released, of one cluster, or of all when its id is empty.

        With a name beside the id only that name's registry entry is read, which leads to all its claims;
        else every claim there is.
        """
        looks = (self._authorities, self._secrets, self._issuances, self._claims)
        return Leftovers(
            items=[item for found in gather([partial(look, reference) for look in looks]) for item in found]
        )

    def _authorities(self, reference: ClusterReference) -> list[Leftover]:
        prefix = authority_prefix(reference.cluster_id)
        mounts = [mount.strip("/") for mount in self._admin.mounts() if mount.startswith(prefix)]
        return [Leftover(kind=AUTHORITY, name=mount, cluster_id=mount.split("/")[1]) for mount in mounts]

    def _secrets(self, reference: ClusterReference) -> list[Leftover]:
        return self._kept(SECRET, SECRETS, secret_folder, reference)

    def _issuances(self, reference: ClusterReference) -> list[Leftover]:
        return self._kept(ISSUANCE, ISSUANCES, issuance_folder, reference)

    def _kept(
        self, kind: str, root: str, folder_of: Callable[[str], str], reference: ClusterReference
    ) -> list[Leftover]:
        found = [reference.cluster_id] if reference.cluster_id else self._folders(self._admin, root)
        folders = [folder_of(cluster_id) for cluster_id in found]
        keys = gather([partial(self._admin.keys, folder) for folder in folders])
        return [
            Leftover(kind=kind, name=f"{folder}/{key}", cluster_id=cluster_id)
            for cluster_id, folder, held in zip(found, folders, keys, strict=True)
            for key in held
        ]

    def _claims(self, reference: ClusterReference) -> list[Leftover]:
        if not (reference.cluster_id and reference.namespace and reference.name):
            found = self._all_networks() + self._all_entries()
            return [item for item in found if reference.cluster_id in ("", item.cluster_id)]
        networks, pinned = self._registry.held(reference)
        entries = [f"{reference.namespace}/{reference.name}"] if pinned else []
        return [
            Leftover(kind=kind, name=name, cluster_id=reference.cluster_id)
            for kind, names_of_kind in ((NETWORK, networks), (REGISTRY, entries))
            for name in names_of_kind
        ]

    def _all_networks(self) -> list[Leftover]:
        networks = [network_of(key) for key in self._vault.keys(NETWORKS)]
        holders = gather([partial(self._registry.holder, network) for network in networks])
        return _held(NETWORK, networks, holders)

    def _all_entries(self) -> list[Leftover]:
        named = [
            (namespace, name)
            for namespace in self._folders(self._vault, CLUSTERS)
            for name in self._vault.keys(f"{CLUSTERS}/{namespace}")
        ]
        holders = gather([partial(self._registry.pinned, *pair) for pair in named])
        return _held(REGISTRY, ["/".join(pair) for pair in named], holders)

    @staticmethod
    def _folders(vault: VaultClient, folder: str) -> list[str]:
        return [key.strip("/") for key in vault.keys(folder) if key.endswith("/")]


def _held(kind: str, found: list[str], holders: list[str]) -> list[Leftover]:
    pairs = zip(found, holders, strict=True)
    return [Leftover(kind=kind, name=name, cluster_id=holder) for name, holder in pairs if holder]
