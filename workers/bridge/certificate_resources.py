"""What the bridge writes into ``Certificate`` resources: finalizer and status, and all of those it shows."""

from datetime import UTC, datetime
from typing import Final

from api.certificate import CertificateStatus
from api.cluster import API_VERSION
from api.conditions import READY
from api.resource import Condition
from workers.bridge.decisions import condition_of
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.writer import Writer
from workers.bridge.resources import MANAGER, MESSAGE_LENGTH

PATH: Final = f"/apis/{API_VERSION}/certificates"
FINALIZER: Final = "certificate.giantnetes.io"
"""Keeps a ``Certificate`` until its Secret is removed."""


class CertificateResources:
    """The ``Certificate`` resources of one host cluster. What it raises is that of ``Kube``."""

    def __init__(self, kube: Kube) -> None:
        self._writer = Writer(kube, PATH, "Certificate", MANAGER, FINALIZER)

    def is_held(self, resource: Json) -> bool:
        """Say whether a resource has our finalizer."""
        return self._writer.is_held(resource)

    async def hold(self, resource: Json) -> Json:
        """Add our finalizer, if the resource is as it was read (409 otherwise)."""
        return await self._writer.hold(resource)

    async def release(self, resource: Json) -> None:
        """Take our finalizer away from a resource whose Secret is removed."""
        await self._writer.release(resource)

    async def tell(self, resource: Json, status: CertificateStatus) -> Json:
        """Write a status, unless the resource has it already; returns it as it is written."""
        wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if wanted != resource.get("status"):
            await self._writer.apply_status(resource, wanted)
        return wanted

    async def show(self, key: Key, spec: Json, cluster: Json) -> Json:
        """Make a resource that goes with a ``Cluster``."""
        metadata = cluster["metadata"]
        owner = {"apiVersion": API_VERSION, "kind": "Cluster", "name": metadata["name"], "uid": metadata["uid"]}
        labels = {"app.kubernetes.io/managed-by": "giantnetes", "giantnetes.io/cluster": metadata["name"]}
        head = {"name": key[1], "namespace": key[0], "labels": labels, "ownerReferences": [owner]}
        return await self._writer.apply(key, {"metadata": head, "spec": spec})

    async def remove(self, key: Key) -> None:
        """Delete a resource; that there is none is fine."""
        await self._writer.remove(key)


def condition(resource: Json, status: str, reason: str, message: str) -> Condition:
    """Return the condition ``Ready`` of a ``Certificate``, which keeps its time while its status stays."""
    before = condition_of(resource, READY)
    same = before.get("status") == status
    since = datetime.fromisoformat(before["lastTransitionTime"]) if same else datetime.now(UTC)
    return Condition.model_validate(
        {
            "type": READY,
            "status": status,
            "reason": reason,
            "message": message[:MESSAGE_LENGTH],
            "lastTransitionTime": since,
            "observedGeneration": resource["metadata"]["generation"],
        }
    )
